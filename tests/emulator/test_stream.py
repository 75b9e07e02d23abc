"""The stream below a broker's connection: every octet once, in order, or no connection."""

from __future__ import annotations

import os
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qkdbus.errors import Exhausted, Refused
from qkdbus_qbackend.emulators.simulaqron.stream import (
    CLOSE,
    DATA,
    HEAD,
    LARGEST,
    LONGEST_FRAME,
    MOST_WAITING,
    OPEN,
    TICK,
    WINDOW,
    Stream,
    dismissal,
    opened_by,
)

CONNECTION = bytes(range(16))


def ends() -> tuple[Stream, Stream]:
    """A connection that has just been opened: who dialled, who was dialled."""
    dialled = Stream(CONNECTION)
    return dialled, opened_by(dialled.opening())


def carry(frames: list[bytes], to: Stream) -> tuple[bytes, list[bytes]]:
    """Let `to` take frames; what it hands on, and its answers."""
    got, answers = b"", []
    for frame in frames:
        got += to.take(frame)
        answers += to.answers()
    return got, answers


@given(some.integers(0, 2**32), some.lists(some.integers(0, 3 * LARGEST), max_size=12))
def test_both_ends_hand_on_what_the_other_wrote_whatever_the_pace(seed: int, sizes: list[int]) -> None:
    dice = random.Random(seed)
    pair = ends()
    wrote, got = [b"", b""], [b"", b""]
    wires: tuple[list[bytes], list[bytes]] = ([], [])
    for size in sizes:
        end = dice.randrange(2)
        data = dice.randbytes(size)
        wrote[end] += data
        wires[end].extend(pair[end].write(data))
        for _ in range(dice.randrange(4)):
            _step(dice.randrange(2), pair, wires, got)
    while any(wires):
        _step(int(not wires[0]), pair, wires, got)
    assert got == [wrote[1], wrote[0]]
    assert [end.waiting for end in pair] == [0, 0]


def _step(end: int, pair: tuple[Stream, Stream], wires: tuple[list[bytes], list[bytes]], got: list[bytes]) -> None:
    """Deliver the oldest frame that `end` has sent, if any."""
    if wires[end]:
        data, answers = carry([wires[end].pop(0)], pair[1 - end])
        got[1 - end] += data
        wires[1 - end].extend(answers)


def test_an_end_that_takes_nothing_is_sent_a_window_and_no_more() -> None:
    dialled, reader = ends()
    frames = dialled.write(bytes(2 * WINDOW * LARGEST))
    assert len(frames) == WINDOW
    assert dialled.waiting == WINDOW * LARGEST
    assert dialled.write(b"more") == []

    got, answers = carry(frames, reader)  # now it takes, and says so
    assert len(got) == WINDOW * LARGEST
    _, more = carry(answers, dialled)
    assert len(more) == WINDOW
    assert 0 < len(answers) <= 4


def test_what_waits_has_a_limit() -> None:
    dialled, _reader = ends()
    under_way = sum(len(frame) - HEAD.size for frame in dialled.write(bytes(MOST_WAITING)))
    dialled.write(bytes(under_way))
    with pytest.raises(Exhausted):
        dialled.write(b"x")


def test_a_frame_that_is_lost_doubled_or_late_ends_the_stream() -> None:
    for order in ((1, 2), (0, 0), (0, 2), (1, 0)):
        dialled, reader = ends()
        frames = [frame for data in (b"a", b"b", b"c") for frame in dialled.write(data)]
        with pytest.raises(Refused, match="in place of"):
            carry([frames[place] for place in order], reader)


def test_every_kind_of_frame_is_counted() -> None:
    dialled, reader = ends()
    tick, [data] = dialled.tick(), dialled.write(b"a")
    with pytest.raises(Refused, match="in place of"):
        reader.take(data)
    assert reader.take(tick) == b""
    assert reader.take(data) == b"a"


def test_a_frame_of_another_connection_never_gets_in() -> None:
    stale, _ = Stream(os.urandom(16)), Stream(os.urandom(16))
    stale.opening()
    for frame in (*stale.write(b"stale"), stale.tick(), stale.farewell()):
        _, reader = ends()
        with pytest.raises(Refused, match="another connection"):
            reader.take(frame)
        assert not reader.ended


def test_a_farewell_ends_it_whatever_was_missed() -> None:
    dialled, reader = ends()
    dialled.write(b"never arrives")
    assert reader.take(dialled.farewell()) == b""
    assert reader.ended


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x02",
        HEAD.pack(DATA, CONNECTION, 1, 0),  # no data
        HEAD.pack(TICK, CONNECTION, 1, 0) + b"data",
        HEAD.pack(OPEN, CONNECTION, 1, 0) + b"qkdbus-broker/1",
        HEAD.pack(0, CONNECTION, 1, 0),
        HEAD.pack(CLOSE + 1, CONNECTION, 1, 0),
        HEAD.pack(DATA, CONNECTION, 1, 1) + b"takes what was never sent",
        HEAD.pack(DATA, CONNECTION, 1, 2**64 - 1) + b"likewise",
        HEAD.pack(DATA, CONNECTION, 2**64 - 1, 0) + b"from the end of time",
        HEAD.pack(DATA, CONNECTION, 1, 0) + bytes(LONGEST_FRAME),
    ],
)
def test_a_malformed_frame_ends_the_stream(frame: bytes) -> None:
    _, reader = ends()
    with pytest.raises(Refused):
        reader.take(frame)


def test_credit_is_never_taken_back() -> None:
    dialled, reader = ends()
    carry([frame for _ in range(8) for frame in dialled.write(b"data")], reader)
    frame = reader.tick()
    assert HEAD.unpack_from(frame)[3] == 8
    dialled.take(frame)
    with pytest.raises(Refused, match="7 frames taken of 8"):
        dialled.take(HEAD.pack(TICK, CONNECTION, 1, 7))


@given(some.binary(max_size=2 * HEAD.size))
def test_garbage_opens_nothing(frame: bytes) -> None:
    with pytest.raises(Refused):
        opened_by(frame)


def test_only_a_first_frame_of_this_version_opens() -> None:
    good = Stream(CONNECTION).opening()
    assert opened_by(good).connection == CONNECTION
    for bad in (good[:-1], good + b"0", HEAD.pack(DATA, CONNECTION, 0, 0) + b"data", good[: HEAD.size]):
        with pytest.raises(Refused):
            opened_by(bad)
    with pytest.raises(Refused, match="another version"):
        opened_by(HEAD.pack(OPEN, CONNECTION, 0, 0) + b"qkdbus-broker/2")


def test_a_dismissal_ends_the_connection_that_is_meant_and_answers_no_farewell() -> None:
    dialled, _ = ends()
    [frame] = dialled.write(b"to nobody")
    dialled.take(dismissal(frame))
    assert dialled.ended
    assert dismissal(dialled.farewell()) == b""
    with pytest.raises(Refused):
        dismissal(b"garbage")


def test_credit_comes_with_data_and_needs_no_frame_of_its_own() -> None:
    one, other = ends()
    for _ in range(20 * WINDOW):
        [asked] = one.write(b"question")
        assert carry([asked], other) == (b"question", [])
        [said] = other.write(b"answer")
        assert carry([said], one) == (b"answer", [])


def test_numbers_of_a_direction_follow_each_other() -> None:
    dialled, _ = ends()
    frames = [*dialled.write(b"a"), dialled.tick(), *dialled.write(b"b"), dialled.farewell()]
    numbers = [HEAD.unpack_from(frame)[2] for frame in frames]
    assert all(after == before + 1 for before, after in pairwise([0, *numbers]))
