"""When a worker is lost, and when it is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qkdbus.signs import COMPUTING, Sign
from qkdbus_dispatcher.workers import BUSY, CAPACITY, DEAD, IDLE, ROUND

FIRST, SECOND = 100, 200  # the processes of the two workers


async def test_the_death_of_a_process_is_known_at_once(house: Any) -> None:
    before = asyncio.get_running_loop().time()
    house.kill(0)
    assert house.workers[0].state == "silent"
    assert house.workers[0].lost == 1
    assert house.events[-1] == {"worker": 0, "state": "silent"}
    assert asyncio.get_running_loop().time() == before


async def test_a_worker_is_used_again_as_soon_as_it_is_back(house: Any) -> None:
    house.kill(0)
    await house.settle()
    house.fakes[0].restart()
    house.fakes[0].alive = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    await house.until(lambda: house.workers[0].lives)
    assert loop.time() - began < 2.0
    assert house.workers[0].since == 1.0
    assert FIRST + 1 in house.deaths, "the new process is watched"


async def test_a_stopped_worker_is_known_within_a_round_or_two(house: Any) -> None:
    house.signs[FIRST] = Sign("T", 1.0)
    house.fakes[0].alive = False
    house.workers[0].begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await house.until(lambda: house.workers[0].state == "silent")
    assert loop.time() - began <= BUSY + 2 * ROUND
    house.signs[FIRST] = Sign("S", 1.0)
    house.fakes[0].alive = True
    await house.until(lambda: house.workers[0].lives)
    assert house.workers[0].lost == 1
    assert house.workers[0].pid == FIRST


async def test_a_worker_that_computes_for_a_while_loses_nothing(house: Any) -> None:
    house.signs[FIRST] = Sign("R", 1.0)
    house.fakes[0].alive = False
    house.workers[0].begin()
    for cpu in range(1, int(COMPUTING)):
        house.signs[FIRST] = Sign("R", 1.0 + cpu)
        await asyncio.sleep(1.0)
    house.fakes[0].alive = True
    await asyncio.sleep(2 * BUSY)
    assert house.workers[0].lost == 0
    assert house.workers[0].state == "ready"


async def test_one_that_does_nothing_and_answers_nothing_is_lost(house: Any) -> None:
    house.signs[FIRST] = Sign("S", 1.0)
    house.fakes[0].alive = False
    house.workers[0].begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await house.until(lambda: house.workers[0].lost == 1)
    assert DEAD <= loop.time() - began <= DEAD + BUSY + 2 * ROUND


@pytest.mark.parametrize(("house", "every"), [(1, IDLE), (2, BUSY)], indirect=["house"])
async def test_one_that_nobody_could_relieve_is_asked_seldom(house: Any, every: float) -> None:
    house.workers[0].begin()
    await asyncio.sleep(IDLE)
    before = house.fakes[0].pings
    await asyncio.sleep(10 * every)
    assert house.fakes[0].pings - before in (9, 10)


async def test_on_a_machine_where_nobody_gets_to_run_none_is_lost_soon(house: Any) -> None:
    house.signs[FIRST] = Sign("S", 1.0)
    house.fakes[0].alive = False
    house.workers[0].begin()
    loop: Any = asyncio.get_running_loop()
    loop.stall(5.0)
    began, pings = loop.time(), house.fakes[0].pings
    await house.until(lambda: house.workers[0].lost == 1)
    assert house.fakes[0].pings - pings >= DEAD / ROUND, "it has had as many chances as on any machine"
    assert loop.time() - began >= 5.0 * DEAD / ROUND


async def test_a_process_that_was_never_the_worker_may_die(house: Any) -> None:
    """Some workers say a wrong pid: one that still answers is used again."""
    house.deaths[SECOND]()
    assert house.workers[1].state == "silent"
    await house.until(lambda: house.workers[1].lives)


async def test_a_worker_says_how_many_exchanges_it_likes(house: Any) -> None:
    assert house.workers[0].capacity == CAPACITY
    house.fakes[0].capacity = 3
    house.kill(0)
    house.fakes[0].restart()
    house.fakes[0].alive = True
    await house.until(lambda: house.workers[0].lives)
    assert house.workers[0].capacity == 3
    house.workers[0].limit = 2
    assert house.workers[0].capacity == 2, "what the network file says counts more"


async def test_a_worker_that_answers_nonsense_is_not_asked_all_the_time(house: Any) -> None:
    house.fakes[0].nonsense = True
    before = house.fakes[0].pings
    await asyncio.sleep(IDLE + DEAD + 1.0)
    assert house.workers[0].state == "silent"
    assert house.fakes[0].pings - before < 100
