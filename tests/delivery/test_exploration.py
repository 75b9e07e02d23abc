"""However calls, takes, answers and deaths fall: one key per index, each once, and none lost (agreement 5.5, 8, 9)."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus_keysync.end import Rules

TWO_JOBS = Rules(block_bits=48, jobs=2, window_bytes=16)
TOGETHER = 10  # walks
WEIGHTS = {
    "call": 1.5, "serve": 2.0, "mute": 0.3, "twice": 0.3, "answer": 3.0, "hear": 3.0, "silent": 0.2,
    "overtaken": 0.5, "die": 0.05, "idle": 0.1, "age": 0.03, "forget": 0.02,
}  # fmt: skip
CALLS = {"job": 25, "call": 60, "mute": 15, "twice": 10, "again": 30, "silent": 6, "skip": 6, "many": 6}
DEATHS = CALLS | {"die": 5, "crash": 3, "idle": 2, "callers": 2, "soon": 3}
ANYTHING = DEATHS | {"expire": 1, "age": 1, "close": 2, "open0": 2, "open1": 2, "names": 2}
LOSSES = DEATHS | {"lost": 2, "forget": 2, "open0": 3, "open1": 3}

BREADTHS = [
    pytest.param({"call": 3, "mute": 1, "die": 1}, id="a lost answer and a death"),
    pytest.param({"call": 3, "again": 1, "silent": 1, "die": 1}, id="late calls and takes"),
    pytest.param({"call": 2, "many": 1, "skip": 1, "crash": 1, "die": 1}, id="both layers die"),
    pytest.param({"call": 2, "mute": 1, "expire": 1, "age": 1}, id="time to live"),
    pytest.param({"call": 2, "close": 1, "open0": 1, "mute": 1, "die": 1}, id="closing and opening"),
]


def with_keys(world: Any, **budget: int) -> Any:
    """Three keys at both ends, and no exchange to come."""
    state = world.paired(**{**budget, "job": 2})
    for _ in range(2):
        state = world.settle(world.act(state, ("plan",)), tidy=False)
    return state


@pytest.mark.parametrize("budget", BREADTHS)
def test_nothing_nearby_breaks_an_invariant(explore: Any, budget: dict[str, int]) -> None:
    world = explore()
    assert world.breadth_first(with_keys(world, **budget), 300, settle_share=25) == 300


def test_from_nothing_two_key_managers_come_to_hold_keys(explore: Any) -> None:
    world = explore()
    start = world.empty(job=1, call=2, mute=1, die=1, open0=1, open1=1)
    assert world.breadth_first(start, 300, settle_share=25) == 300


def walked(explore: Any, start: str, budget: dict[str, int], seeds: range, steps: int) -> int:
    """Walk once a seed; return how many keys were delivered."""
    delivered = 0
    for seed in seeds:
        if seed % TOGETHER == 0:  # what one walk has seen the next ones know; but it takes memory
            world = explore(flight=6, rules=TWO_JOBS)
        state = world.walk(getattr(world, start)(**budget), seed, steps, WEIGHTS)
        delivered += sum(map(len, state.delivered))
    return delivered


WALKS = [
    pytest.param("paired", DEATHS, id="deaths"),
    pytest.param("paired", ANYTHING, id="anything but loss"),
    pytest.param("paired", LOSSES, id="lost stores"),
    pytest.param("empty", ANYTHING, id="anything, from nothing"),
]


@pytest.mark.parametrize(("start", "budget"), WALKS)
def test_walks_break_no_invariant(explore: Any, start: str, budget: dict[str, int]) -> None:
    assert walked(explore, start, budget, range(3), 300) > 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("start", "budget"), WALKS)
def test_long_walks_break_no_invariant(explore: Any, start: str, budget: dict[str, int]) -> None:
    assert walked(explore, start, budget, range(1_000, 1_030), 500) > 90


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("budget", BREADTHS)
def test_nothing_farther_away_breaks_an_invariant(explore: Any, budget: dict[str, int]) -> None:
    world = explore()
    assert world.breadth_first(with_keys(world, **budget), 12_000, settle_share=200) > 2_000
