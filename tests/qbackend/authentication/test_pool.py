"""The pool feeds each block's authentication and is fed by it, whoever dies in between."""

from __future__ import annotations

import random
from typing import Any

import pytest

from qkdbus_qbackend.authkeys import FORGET_AFTER, LEVEL, LOW, MOST_IDS, AuthKeys, Entry
from qkdbus_qbackend.failure import Broken, NoKey
from qkdbus_qbackend.protocols.talk import converse


def test_a_choice_of_a_pad_that_is_not_here_gives_no_key(lab: Any) -> None:
    _, sink = lab.in_memory()
    sink.keys.left = {}
    talk = sink.talk()
    next(talk)
    next(talk)
    with pytest.raises(NoKey, match="is not here"):
        talk.send(bytes(17))


@pytest.mark.parametrize("said", [bytes(9), bytes(16), bytes(23), bytes(8 + 1 + 8 * (MOST_IDS + 1) + 8)])
def test_a_choice_that_cannot_be_read_is_broken(said: bytes, lab: Any) -> None:
    _, sink = lab.in_memory()
    talk = sink.talk()
    next(talk)
    next(talk)
    with pytest.raises(Broken):
        talk.send(said)


def test_without_a_pad_in_common_both_ends_say_what_to_do(lab: Any) -> None:
    source, sink = lab.in_memory(entries=0)
    for failure in lab.meddled(source.talk(), sink.talk()):
        assert isinstance(failure, NoKey) and not failure.alarm
        assert "used up: remove certs/link-Bob.psk" in failure.reason


@pytest.mark.parametrize(("octets", "charged"), [(0, 0), (1, 0), (16, 0), (17, 16), (32, 16), (33, 16)])
def test_a_block_gives_no_more_than_it_has(octets: int, charged: int, lab: Any) -> None:
    source, sink = lab.in_memory(octets)
    whole = source.key.tobytes()
    ours, theirs = converse(source.talk(), sink.talk())
    assert ours.charged == theirs.charged == charged
    assert ours.octets.tobytes() == theirs.octets.tobytes() == whole[: octets - charged]
    assert source.key[octets - charged :].tobytes() == bytes(charged)


def test_what_is_charged_authenticates_a_later_block(link: Any, lab: Any) -> None:
    one, other = link.open()
    for _ in range(LEVEL - LOW + 1):  # down to where a block gives two
        assert one.spend(one.ids()) == other.spend(other.ids())
    source, sink = lab.ends(one, other)
    given = source.key[-32:].tobytes()
    ours, _ = converse(source.talk(), sink.talk())
    assert (ours.charged, len(ours.octets)) == (32, 68)
    assert one.ids() == other.ids()
    assert one.ids()[-2:] == [source.run[:8], source.run[8:]]
    for keys in (one, other):
        entries = [keys.spend([id]) for id in (source.run[:8], source.run[8:])]
        assert b"".join(entry.pad for entry in entries if entry) == given


def form(link: Any, lab: Any, count: int, failing: float) -> tuple[AuthKeys, AuthKeys, int]:
    """Form a block a second, of which a share ends in the middle of the talk; return the pools and what was charged."""
    dice, charged = random.Random(2), 0
    one, other = link.open()
    for _ in range(count):
        link.wait(1.0)
        source, sink = lab.ends(one, other)
        lab.say(source, sink, [(1, 0, b"some")])
        if dice.random() >= failing:
            charged += converse(source.talk(), sink.talk())[0].charged
        else:
            with pytest.raises(NoKey, match="cut"):
                lab.cut(source.talk(), sink.talk(), dice.randrange(3))
    return one, other, charged


def settle(link: Any, lab: Any) -> tuple[AuthKeys, AuthKeys]:
    """Form two blocks more than a minute apart: after that, nobody keeps what the other has not."""
    for _ in range(2):
        link.wait(FORGET_AFTER)
        one, other = link.open()
        source, sink = lab.ends(one, other)
        converse(source.talk(), sink.talk())
    assert one.ids() == other.ids()
    return one, other


def test_refill_keeps_the_pool_at_its_level(link: Any, lab: Any) -> None:
    one, other, charged = form(link, lab, 100, failing=0.0)
    assert one.ids() == other.ids()
    assert len(one.ids()) == LEVEL
    assert charged == 100 * 16  # a block gives what it takes


@pytest.mark.slow
def test_refill_keeps_the_pool_over_a_thousand_blocks_of_which_many_fail(link: Any, lab: Any) -> None:
    one, other, _ = form(link, lab, 1000, failing=0.3)
    assert LOW - 5 <= len(set(one.ids()) & set(other.ids())) <= LEVEL
    settle(link, lab)


@pytest.mark.parametrize("stop", range(3))
def test_an_end_that_dies_in_the_talk_costs_an_entry_and_no_more(stop: int, link: Any, lab: Any) -> None:
    """The message that is not delivered is the 1st, 2nd or 3rd; then both open their stores again."""
    spent: tuple[list[bytes], list[bytes]] = ([], [])
    source, sink = lab.ends(*watched(link, spent))
    with pytest.raises(NoKey, match="cut"):
        lab.cut(source.talk(), sink.talk(), stop)
    source, sink = lab.ends(*watched(link, spent))
    ours, theirs = converse(source.talk(), sink.talk())
    assert (ours.octets == theirs.octets).all()
    for ids in spent:
        assert len(set(ids)) == len(ids)
    assert [len(ids) for ids in spent] == [[1, 1], [2, 1], [2, 2]][stop]
    one, _ = settle(link, lab)
    assert len(one.ids()) >= LEVEL - 1


def watched(link: Any, spent: tuple[list[bytes], list[bytes]]) -> tuple[AuthKeys, AuthKeys]:
    """Open both stores; note which entries are spent."""
    one, other = link.open()
    for keys, noted in zip((one, other), spent, strict=True):
        watch(keys, noted)
    return one, other


def watch(keys: AuthKeys, noted: list[bytes]) -> None:
    real = keys.spend

    def spend(offered: Any) -> Entry | None:
        entry = real(offered)
        noted.extend([entry.id] if entry else [])
        return entry

    keys.spend = spend  # type: ignore[method-assign]
