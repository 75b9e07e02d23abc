"""Whatever is lost, doubled, late, killed or put back: I1-I7 hold (agreement, sections 8 and 9)."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus_keysync.end import Rules

TWO_JOBS = Rules(block_bits=48, jobs=2, window_bytes=16)
TOGETHER = 10  # walks
WITH_RESERVOIR = Rules(block_bits=48, jobs=3, window_bytes=24, reservoir_bits=96)
ANYTHING = {"job": 25, "crash": 4, "expire": 3, "close": 4, "open0": 3, "open1": 3, "names": 2, "again": 20,
            "fail": 2, "skip": 5, "late": 1, "soon": 5}  # fmt: skip
LOSSES = {"job": 25, "crash": 2, "lost": 2, "close": 4, "open0": 3, "open1": 3, "names": 2, "again": 20, "fail": 2}
STEADY = {"job": 25, "crash": 4, "again": 20, "skip": 5}
PUT_BACK = {"job": 25, "crash": 2, "back": 3, "lost": 1, "again": 20, "close": 2, "open0": 2, "open1": 2, "expire": 1}

BREADTHS = [
    pytest.param(1, {"job": 1, "crash": 1}, id="a crash"),
    pytest.param(2, {"job": 1, "crash": 1, "expire": 1, "close": 2}, id="closes and an expiry"),
    pytest.param(2, {"job": 1, "lost": 1, "close": 1}, id="a lost store"),
    pytest.param(1, {"job": 2, "again": 1}, id="two blocks"),
    pytest.param(1, {"job": 1, "soon": 2, "crash": 1, "fail": 1}, id="a block that waits"),
]


@pytest.mark.parametrize(("flight", "budget"), BREADTHS)
def test_nothing_nearby_breaks_an_invariant(explore: Any, flight: int, budget: dict[str, int]) -> None:
    world = explore(flight=flight)
    assert world.breadth_first(world.paired(**budget), 700) == 700


def test_two_fresh_stores_find_to_each_other_along_every_path(explore: Any) -> None:
    world = explore(flight=2)
    start = world.empty(job=1, crash=1, open0=1, open1=1)
    assert world.breadth_first(start, 700) == 700


def walked(explore: Any, rules: Rules, start: str, budget: dict[str, int], seeds: range, steps: int) -> int:
    """Walk once a seed; return how many keys were delivered."""
    delivered = 0
    for seed in seeds:
        if seed % TOGETHER == 0:  # what one walk has seen the next ones know; but it takes memory
            world = explore(flight=6, rules=rules)
        state = world.walk(getattr(world, start)(**budget), seed, steps)
        delivered += sum(map(len, state.delivered))
    return delivered


WALKS = [
    pytest.param(TWO_JOBS, "paired", ANYTHING, id="anything but loss"),
    pytest.param(TWO_JOBS, "paired", LOSSES, id="lost stores"),
    pytest.param(TWO_JOBS, "empty", LOSSES, id="lost stores, from nothing"),
    pytest.param(TWO_JOBS, "paired", STEADY, id="no closes"),
    pytest.param(WITH_RESERVOIR, "paired", STEADY, id="with a reservoir"),
    pytest.param(TWO_JOBS, "paired", PUT_BACK, id="stores put back"),
]


@pytest.mark.parametrize(("rules", "start", "budget"), WALKS)
def test_long_walks_break_no_invariant(explore: Any, rules: Rules, start: str, budget: dict[str, int]) -> None:
    assert walked(explore, rules, start, budget, range(3), 500) > 3


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("rules", "start", "budget"), WALKS)
def test_many_long_walks_break_no_invariant(explore: Any, rules: Rules, start: str, budget: dict[str, int]) -> None:
    assert walked(explore, rules, start, budget, range(1_000, 1_060), 800) > 60


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("flight", "budget"), BREADTHS)
def test_nothing_farther_away_breaks_an_invariant(explore: Any, flight: int, budget: dict[str, int]) -> None:
    world = explore(flight=flight)
    assert world.breadth_first(world.paired(**budget), 30_000, settle_share=50) > 5_000
