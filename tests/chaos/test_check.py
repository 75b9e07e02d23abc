"""Each violation is found where one is planted in what applications recorded, and none where all is well."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.chaos import fingerprints
from benchmarks.chaos.check import Delivery, End, Stream, Violation, violations
from benchmarks.chaos.records import Recorder, Tail

SECRET = b"of this run"
dice = random.Random(5)
KEYS = [[dice.randbytes(32) for _ in range(40)] for _ in range(2)]  # of two streams


def delivery(index: int, key: bytes, call: int = 0) -> Delivery:
    digests = fingerprints.whole(key, SECRET), fingerprints.parts(key, SECRET)
    return Delivery(index, digests[0], digests[1], float(index), call or index + 1, 0.5)


def well() -> list[Stream]:
    """Two streams, read at both ends without a fault; the second has a time to live of 10 s."""
    both = []
    for number, keys in enumerate(KEYS):
        ends = [End(node, [delivery(index, key) for index, key in enumerate(keys)], until=40) for node in "AB"]
        both.append(Stream(f"s{number + 1}", (ends[0], ends[1]), 10.0 * number))
    return both


def kinds(found: list[Violation]) -> set[str]:
    return {violation.kind for violation in found}


def test_where_all_is_well_nothing_is_found() -> None:
    assert violations(well()) == []


def another_key(streams: list[Stream]) -> None:
    got = streams[0].ends[1].deliveries
    got[7] = delivery(7, bytes(32))


def another_digest(streams: list[Stream]) -> None:
    got = streams[0].ends[0].deliveries
    got[3] = replace(got[3], key=bytes(16))


def again(streams: list[Stream]) -> None:
    got = streams[0].ends[0].deliveries
    got.append(replace(got[5], call=99))


def again_with_another_key(streams: list[Stream]) -> None:
    streams[1].ends[0].deliveries.append(delivery(5, bytes(range(32)), 99))


def the_same_key_later(streams: list[Stream]) -> None:
    for end in streams[0].ends:
        end.deliveries[30] = delivery(30, KEYS[0][2])


def the_same_key_in_another_stream(streams: list[Stream]) -> None:
    for end in streams[1].ends:
        end.deliveries[30] = delivery(30, KEYS[0][30])


def bits_that_have_moved(streams: list[Stream]) -> None:
    joined = int.from_bytes(KEYS[0][2] + KEYS[0][3], "little") >> 101
    for end in streams[0].ends:
        end.deliveries[30] = delivery(30, (joined & ((1 << 256) - 1)).to_bytes(32, "little"))


def half_of_a_key(streams: list[Stream]) -> None:
    for end in streams[0].ends:
        end.deliveries[30] = delivery(30, KEYS[0][4][16:] + KEYS[0][30][16:])


def one_never_came(streams: list[Stream]) -> None:
    del streams[0].ends[0].deliveries[12]


def the_last_never_came(streams: list[Stream]) -> None:
    streams[0].ends[0].deliveries.pop()


def too_many_never_came(streams: list[Stream]) -> None:
    del streams[1].ends[0].deliveries[10:14]
    streams[1].ends[0].expired = 2
    streams[1].ends[0].unanswered = 1


def expired_in_an_hour(streams: list[Stream]) -> None:
    del streams[0].ends[0].deliveries[12]
    streams[0].ends[0].expired = 1


def older_than_it_may_be(streams: list[Stream]) -> None:
    got = streams[1].ends[0].deliveries
    got[9] = replace(got[9], age=11.0)


def from_the_future(streams: list[Stream]) -> None:
    got = streams[0].ends[0].deliveries
    got[9] = replace(got[9], age=-3600.0)


def could_not_go_on(streams: list[Stream]) -> None:
    streams[0].ends[1].trouble = "STREAM_NOT_FOUND"


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (another_key, {"different"}),
        (another_digest, {"different"}),
        (again, {"twice"}),
        (again_with_another_key, {"twice", "different"}),
        (the_same_key_later, {"reused"}),
        (the_same_key_in_another_stream, {"reused"}),
        (bits_that_have_moved, {"reused"}),
        (half_of_a_key, {"reused"}),
        (one_never_came, {"missing"}),
        (the_last_never_came, {"missing"}),
        (too_many_never_came, {"missing"}),
        (expired_in_an_hour, {"missing"}),
        (older_than_it_may_be, {"too old"}),
        (from_the_future, {"too old"}),
        (could_not_go_on, {"lost"}),
    ],
)
def test_a_planted_violation_is_found(plant: Callable[[list[Stream]], None], found: set[str]) -> None:
    streams = well()
    plant(streams)
    assert kinds(violations(streams)) == found


def test_what_expired_or_went_with_a_call_without_answer_is_excused() -> None:
    streams = well()
    end = streams[1].ends[0]
    del end.deliveries[10:14]
    end.expired, end.unanswered = 3, 1
    assert violations(streams) == []


def test_a_record_brings_back_what_came_and_no_key(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    recorder, tail = Recorder(file, SECRET), Tail(file)
    assert tail.read().deliveries == []
    recorder.key(1.0, 1, 0, KEYS[0][0], 0.25)
    assert len(tail.read().deliveries) == 1
    recorder.silent(2.0, 2, 4, "Silent")
    recorder.key(3.0, 3, 4, KEYS[0][4], None)
    with file.open("a") as half:
        half.write('{"what":"trouble",')
    record = tail.read()
    assert record.deliveries == [
        replace(delivery(0, KEYS[0][0]), at=1.0, call=1, age=0.25),
        replace(delivery(4, KEYS[0][4]), at=3.0, call=3, age=None),
    ]
    assert (record.unanswered, record.trouble) == (4, "")
    text = file.read_text()
    assert all(KEYS[0][n].hex()[at : at + 16] not in text for n in (0, 4) for at in range(48))
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(text.splitlines()[0])["index"] == 0


def test_windows_of_equal_bits_are_found_at_every_shift() -> None:
    key = random.Random(8).randbytes(64)
    bits = int.from_bytes(key, "little")
    known = set(fingerprints.parts(key, SECRET))
    for shift in range(1, 200, 7):
        moved = ((bits >> shift) & ((1 << 256) - 1)).to_bytes(32, "little")
        assert known & set(fingerprints.parts(moved, SECRET)), f"shifted by {shift}"
    assert not known & set(fingerprints.parts(key, b"another run"))
