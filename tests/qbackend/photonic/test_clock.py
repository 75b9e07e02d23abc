"""The clock of a link goes at its speed, falls behind where it must, and makes nothing up for idle time."""

from __future__ import annotations

import asyncio

import pytest

from qkdbus_qbackend.emulators.photonic.clock import CREDIT, LONGEST_AT_ONCE, LinkClock


class Wall:
    """A wall clock that moves when somebody sleeps, or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)

    def clock(self, speed: float, share: float = 1.0) -> LinkClock:
        return LinkClock(speed, self, self.sleep, share)


async def batches(wall: Wall, clock: LinkClock, seconds: float, count: int, work: float = 0.0) -> float:
    """Send batches of so much link time, with work before each; return the wall clock that it took."""
    start = wall.now
    for _ in range(count):
        slot = clock.reserve(seconds)
        wall.now += work
        await clock.until(slot)
    return wall.now - start


@pytest.mark.parametrize(("speed", "share"), [(1.0, 1.0), (0.25, 1.0), (3.0, 1.0), (1.0, 0.5)])
async def test_a_batch_takes_its_time(speed: float, share: float) -> None:
    wall = Wall()
    clock = wall.clock(speed, share)
    clock.enter()
    assert await batches(wall, clock, 0.2, 10, work=0.01) == pytest.approx(2.0 / (speed * share))
    assert clock.achieved == pytest.approx(speed)


async def test_as_fast_as_possible_waits_for_nothing() -> None:
    wall = Wall()
    clock = wall.clock(0.0)
    clock.enter()
    assert await batches(wall, clock, 60.0, 10, work=0.1) == pytest.approx(1.0)
    assert clock.achieved == pytest.approx(600.0)
    assert clock.longest == LONGEST_AT_ONCE


async def test_exchanges_share_the_link_in_order() -> None:
    wall = Wall()
    clock = wall.clock(1.0)
    done: list[tuple[str, float]] = []

    async def exchange(name: str) -> None:
        clock.enter()
        for _ in range(2):
            await clock.until(clock.reserve(0.5))
            done.append((name, round(wall.now - 100, 6)))
        clock.leave()

    await asyncio.gather(exchange("one"), exchange("other"))
    assert [name for name, _ in done] == ["one", "other"] * 2
    assert [at for _, at in done] == [0.5, 1.0, 1.5, 2.0]


async def test_a_slow_machine_makes_the_clock_lag_and_it_says_so() -> None:
    wall = Wall()
    clock = wall.clock(1.0)
    clock.enter()
    assert await batches(wall, clock, 0.5, 10, work=2.0) == pytest.approx(20.0, abs=0.5)
    assert clock.achieved == pytest.approx(0.25, rel=0.05)


async def test_a_batch_that_is_a_little_late_is_made_up_for() -> None:
    """Else what lies between two batches would slow down each of them."""
    wall = Wall()
    clock = wall.clock(1.0)
    clock.enter()
    start = wall.now
    for _ in range(50):
        await batches(wall, clock, 0.1, 1)
        wall.now += CREDIT / 10
    assert wall.now - start == pytest.approx(5.0, abs=0.1)
    assert clock.achieved == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("under_way", [True, False])
async def test_idle_time_is_no_credit(under_way: bool) -> None:
    wall = Wall()
    clock = wall.clock(1.0)
    clock.enter()
    await batches(wall, clock, 0.5, 2)
    if not under_way:
        clock.leave()
    wall.now += 3600
    if not under_way:
        clock.enter()
    lost = 0.0 if not under_way else CREDIT
    assert await batches(wall, clock, 0.5, 4) == pytest.approx(2.0 - lost)


async def test_idle_time_is_not_held_against_the_machine() -> None:
    wall = Wall()
    clock = wall.clock(1.0)
    for _ in range(3):
        clock.enter()
        await batches(wall, clock, 0.5, 2)
        clock.leave()
        wall.now += 3600
    assert clock.achieved == pytest.approx(1.0)


async def test_the_end_that_does_not_wait_counts_as_well() -> None:
    wall = Wall()
    clock = wall.clock(1.0)
    clock.enter()
    for _ in range(4):
        wall.now += 0.5
        clock.count(0.4)
    assert clock.achieved == pytest.approx(0.8)


async def test_batches_are_about_a_second_long_however_many_share_the_link() -> None:
    clock = Wall().clock(0.5, share=0.5)
    assert clock.longest == 0.25
    clock.enter()
    clock.enter()
    assert clock.longest == 0.125
    clock.leave()
    assert clock.longest == 0.25


def test_a_clock_that_never_went_has_achieved_nothing() -> None:
    assert Wall().clock(1.0).achieved == 0.0


async def test_a_clock_that_nobody_entered_keeps_time_all_the_same() -> None:
    wall = Wall()
    clock = wall.clock(1.0)
    assert await batches(wall, clock, 0.5, 4) == pytest.approx(2.0)
