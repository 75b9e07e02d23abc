"""When a worker is lost, and when it is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qkdbus.signs import Sign
from qkdbus_dispatcher.workers import BUSY, CAPACITY, COMPUTING, DEAD, IDLE, ROUND, deaf

FIRST, SECOND = 100, 200  # the processes of the two workers


@pytest.mark.parametrize(
    ("silence", "sign", "lost"),
    [
        (ROUND, None, False),
        (DEAD, None, True),
        (ROUND, Sign("T", 1.0), True),
        (ROUND, Sign("Z", 1.0), True),
        (DEAD - 0.1, Sign("S", 1.0), False),
        (DEAD, Sign("S", 1.0), True),
        (DEAD, Sign("S", 1.5), False),  # it has computed since the last look
        (DEAD, Sign("R", 1.0), False),
        (DEAD, Sign("D", 1.0), False),
        (COMPUTING, Sign("R", 2.0), True),
    ],
)
def test_how_long_a_silent_worker_is_believed_in(silence: float, sign: Sign | None, lost: bool) -> None:
    assert deaf(silence, sign, cpu_before=1.0) is lost


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
    await asyncio.sleep(COMPUTING - 1.0)
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
