"""Cascade at a hostile or broken other end: Broken or NoKey, never anything else, and never without end."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qkdbus_qbackend.distil.cascade import sink, source
from qkdbus_qbackend.distil.cascade.schedule import Schedule, plan
from qkdbus_qbackend.failure import Broken, NoKey
from qkdbus_qbackend.protocols.talk import Hear, Tell, Work

COUNT, QBER, SEED = 1500, 0.05, bytes(16)
OURS = np.frombuffer(np.random.default_rng(1).bytes(188), np.uint8).copy()
OURS[-1] &= 0x0F
THEIRS = OURS.copy()
THEIRS[::5] ^= 4
both_forms = pytest.mark.parametrize("fast", [False, True], ids=["portable", "compiled"])
often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class End:
    """One end, told by hand."""

    def __init__(self, talk: Any) -> None:
        self._talk = talk
        self.done = False
        self.said = self._on(None)

    def hear(self, body: bytes) -> bytes:
        """Tell it something; return what it says then."""
        self.said = self._on(body)
        return self.said

    def _on(self, heard: Any) -> bytes:
        said = b""
        while True:
            try:
                wish = self._talk.send(heard)
            except StopIteration:
                self.done = True
                return said
            heard = None
            if isinstance(wish, Tell):
                said = wish.body
            elif isinstance(wish, Work):
                heard = wish.work()
            else:
                assert isinstance(wish, Hear)
                return said


def alice(fast: bool) -> End:
    return End(source(OURS, COUNT, QBER, lambda size: SEED[:size], fast=fast))


def bob(fast: bool) -> End:
    return End(sink(THEIRS, COUNT, QBER, fast=fast))


def spoil(message: bytes, how: tuple[int, int, int]) -> bytes:
    """Change, cut or lengthen a message."""
    kind, where, what = how
    at = where % max(1, len(message))
    if kind == 0 and message:
        return message[:at] + bytes([message[at] ^ (what or 1)]) + message[at + 1 :]
    if kind == 1:
        return message[:at]
    if kind == 2:
        return message + bytes([what])
    return bytes([what]) * where


spoiling = st.tuples(st.integers(0, 3), st.integers(0, 300), st.integers(0, 255))


@both_forms
@often
@given(st.integers(0, 30), st.booleans(), spoiling)
def test_one_spoilt_message_breaks_no_end(fast: bool, turn: int, of_source: bool, how: tuple[int, int, int]) -> None:
    ends = alice(fast), bob(fast)
    body, number = ends[0].said, 0
    try:
        while not (ends[0].done or ends[1].done):
            if number // 2 == turn and (number % 2 == 0) == of_source:
                body = spoil(body, how)
            number += 1
            body = ends[number % 2].hear(body)
    except NoKey:
        pass
    assert number < 2000


@both_forms
@often
@given(st.randoms(use_true_random=False))
def test_a_source_that_tells_anything_comes_to_an_end(fast: bool, dice: Any) -> None:
    """Its messages have the right length, for they are cut from what an honest one would say, and random bits."""
    end, schedule = bob(fast), plan(COUNT, QBER)
    said, turns = end.hear(alice(False).said), 0
    while not end.done:
        turns += 1
        assert turns < 2000
        for length in [2] if said[:1] == b"\x02" else range(1, 200):
            try:
                said = end.hear(dice.randbytes(length))
            except Broken as broken:
                if "was asked for" not in str(broken):
                    return
                end, length = None, 0  # type: ignore[assignment]
            except NoKey:
                return
            break
        if end is None:
            return
    assert schedule.count == COUNT


@both_forms
@often
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_a_sink_that_says_anything_is_broken(fast: bool, messages: list[bytes]) -> None:
    end = alice(fast)
    try:
        for message in messages:
            end.hear(message)
            if end.done:
                break
    except NoKey:
        pass


@both_forms
@often
@given(st.binary(max_size=80))
def test_a_first_message_may_be_anything(fast: bool, message: bytes) -> None:
    with pytest.raises(NoKey):
        bob(fast).hear(message)


@both_forms
def test_a_sink_that_never_stops_asking_is_stopped(fast: bool) -> None:
    end = alice(fast)
    with pytest.raises(NoKey, match="error correction"):
        ask_for_ever(end)
    end = alice(fast)
    end.hear(b"\x02")
    end.hear(b"\x03\x00")
    with pytest.raises(Broken, match="nothing is searched"):
        end.hear(b"\x01" + bytes(5))


def ask_for_ever(end: End) -> None:
    for _ in range(COUNT):
        end.hear(b"\x02")


def start(*entries: int) -> bytes:
    return b"\x01\x00" + struct.pack(f"<I{len(entries)}I", len(entries), *entries)


@both_forms
@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "does not know"),
        (b"\x09", "does not know"),
        (b"\x04\x00", "does not know"),
        (b"\x03\x00", "a check that there is not"),
        (b"\x01", "ends too soon"),
        (b"\x01\x01\x07", "a pass that there is not"),
        (b"\x01\x01\x03", "a pass that there is not"),
        (b"\x01\x00\xff\xff\xff\xff", "ends too soon"),
        (start(), "nothing is searched"),
        (start(5, 5), "out of order"),
        (start(5, 4), "out of order"),
        (start(1 << 20), "out of order"),
        (start(5) + b"\x00", "another number of bits"),
    ],
)
def test_what_a_sink_may_not_say(message: bytes, why: str, fast: bool) -> None:
    with pytest.raises(Broken, match=why):
        alice(fast).hear(message)


@both_forms
def test_searches_may_not_be_dropped(fast: bool) -> None:
    end = alice(fast)
    assert len(end.hear(start(3, 5))) == 1
    with pytest.raises(Broken, match=r"while there are searches|fewer bits|another number of bits"):
        end.hear(b"\x02")


@pytest.mark.parametrize(
    "change",
    [
        {"count": COUNT + 1},
        {"lanes": 2},
        {"lanes": 0},
        {"lanes": 8},  # with 12 checks
        {"sizes": ()},
        {"sizes": (0, 5)},
        {"sizes": (4, 12)},
        {"sizes": tuple(range(1, 10))},
        {"remembered": 4},
        {"checks": 0},
        {"checks": 17},
    ],
)
def test_a_schedule_that_cannot_be_is_broken(change: dict[str, Any]) -> None:
    honest = plan(COUNT, QBER)
    fields = {name: getattr(honest, name) for name in ("count", "lanes", "sizes", "remembered", "checks", "ahead")}
    with pytest.raises(Broken):
        Schedule.unpack(Schedule(**{**fields, **change}).pack(), COUNT)
    assert Schedule.unpack(honest.pack(), COUNT) == (honest, len(honest.pack()))
