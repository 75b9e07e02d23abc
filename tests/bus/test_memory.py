"""What a server remembers is bounded for each user, and nobody pays for another one."""

from __future__ import annotations

import pytest

from qkdbus.bus import memory
from qkdbus.bus.memory import Memory

ANSWER = (b"head", b"body")


def test_who_makes_up_callers_pushes_out_none_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CALLERS", 10)
    kept = Memory(lambda: 0.0)
    kept.keep(("alice", b"a"), 1, ANSWER)
    for number in range(100):
        kept.keep(("mallory", number.to_bytes(2, "little")), 1, ANSWER)
    assert kept.recall(("alice", b"a"), 1, 1) == ANSWER
    assert kept.recall(("mallory", (99).to_bytes(2, "little")), 1, 1) == ANSWER
    assert kept.recall(("mallory", (89).to_bytes(2, "little")), 1, 1) is None
    assert len(kept) == 11


def test_answers_of_one_user_take_so_many_octets_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "OCTETS", 10_000)
    kept = Memory(lambda: 0.0)
    kept.keep(("alice", b"a"), 1, ANSWER)
    for number in range(1, 101):
        kept.keep(("mallory", bytes((number % 3,))), number, (b"", bytes(1000)))
    assert kept.recall(("alice", b"a"), 1, 1) == ANSWER
    assert kept.recall(("mallory", bytes((100 % 3,))), 100, 1) == (b"", bytes(1000)), "the last one goes last"
    assert len(kept) <= 9
    kept.keep(("mallory", b"x"), 1, (b"", bytes(20_000)))  # more than all: not kept, and nothing breaks
    assert kept.recall(("mallory", b"x"), 1, 1) is None


def test_what_is_settled_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "OCTETS", 10_000)
    kept = Memory(lambda: 0.0)
    for number in range(1, 1000):
        kept.keep(("alice", b"a"), number, (b"", bytes(1000)))
        kept.keep(("alice", b"a"), number, (b"", bytes(1000)))  # twice the same is once
        assert kept.recall(("alice", b"a"), number, number) == (b"", bytes(1000))
    assert kept._users["alice"].octets == 1200
    assert kept.recall(("alice", b"a"), 5, 2**64 - 1) == ()
    assert kept._users["alice"].octets == 0


def test_silent_callers_are_forgotten() -> None:
    now = 0.0
    kept = Memory(lambda: now)
    kept.keep(("alice", b"a"), 1, ANSWER)
    now = memory.IDLE / 2
    kept.keep(("alice", b"b"), 1, ANSWER)
    now = memory.IDLE + 1
    kept.tidy()
    assert (kept.recall(("alice", b"a"), 1, 1), kept.recall(("alice", b"b"), 1, 1)) == (None, ANSWER)
    now = 3 * memory.IDLE
    kept.tidy()
    assert not kept._users
