"""A neighbour with every right to speak, and no good intention: what it cannot make an honest keysync do.

It may keep keys from being formed on its own link. It must not have one index delivered twice, no bit used twice, no
bit or stream of another link, no end of the process, no memory that grows.
"""

from __future__ import annotations

import sqlite3

import pytest

from qkdbus_keysync import replay
from qkdbus_keysync.arbiter import Arbiter
from qkdbus_keysync.follower import Follower

from .hostile import HonestNode, HostileArbiter, HostileFollower

ROWS = 3000  # a ring of 1024 chains, 600 s of pairings, and some


def attack(seed: int, messages: int, *, arbiter: bool) -> HonestNode:
    """Let an honest `arbiter` (or follower) be told so many things by the other end."""
    node = HonestNode(seed, arbiter=arbiter)
    neighbour = HostileFollower(node) if arbiter else HostileArbiter(node)
    for number in range(messages):
        neighbour()
        if number % 3 == 0:
            node.live()
    assert node.of_alice() == node.before, "something of the honest link has changed"
    assert node.rows() < ROWS + messages // 10
    return node


def test_a_follower_is_not_led_astray() -> None:
    node = attack(1, 1500, arbiter=False)
    assert len(node.delivered.keys) > 20, "the attack was over before it began"


def test_an_arbiter_is_not_led_astray() -> None:
    node = attack(1, 1500, arbiter=True)
    assert len(node.delivered.keys) > 20, "the attack was over before it began"
    _is_small(node)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("arbiter", [True, False])
def test_a_hundred_thousand_messages_lead_nobody_astray(arbiter: bool) -> None:
    node = attack(3, 100_000, arbiter=arbiter)
    assert len(node.delivered.keys) > 50, "the attack was over before it began"
    _is_small(node)


def _is_small(node: HonestNode) -> None:
    end = node.end
    if isinstance(end, Arbiter):
        assert len(end.wanted) <= 5000 and len(end.lows) <= 100
        assert len(end.book.running) + len(end.book.unmatched) + len(end.book.formed) < 100
    else:
        assert isinstance(end, Follower)
        assert len(end.running) <= 256 and len(end.lows) <= 100 and len(end.waiting) <= 1000
    assert len(end.delivery.partly) <= 100


def test_the_attack_would_find_bits_that_are_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The witness itself: a follower that keeps as rest what has been cut, or is kept already, is caught."""
    real = replay._place
    monkeypatch.setattr(replay, "_place", lambda places, named, free: real(places, named, 0))
    with pytest.raises((AssertionError, sqlite3.IntegrityError), match=r"as well|UNIQUE"):
        attack(1, 5000, arbiter=False)
