"""The dispatcher shares out jobs, and says at once when a worker is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Refused, Unavailable
from qkdbus.wire.dispatcher_pb2 import Cancel, Exchange, Exchanged, JobName, ListWorkers, Reserve
from qkdbus_dispatcher.workers import IDLE

CALL = Call(OPERATOR, patience=50.0)


def named(job: int, peer: str = "Bob") -> JobName:
    return JobName(peer=peer, epoch_n=1, epoch_r=2, job=job)


def exchange(house: Any, job: int, worker: int = 0) -> asyncio.Task[Exchanged]:
    request = Exchange(name=named(job), arbiter=True, bits=64, worker=worker)
    return asyncio.create_task(house.dispatcher.exchange(request, CALL))


async def test_a_job_is_carried_out_by_the_worker_that_was_reserved(house: Any) -> None:
    reserved = house.dispatcher.reserve(Reserve(name=named(1)), CALL)
    assert reserved.endpoint == f"tcp://10.0.0.1:{9000 + reserved.worker}"
    answer = await exchange(house, 1, reserved.worker)
    assert answer.block.length == 64 and not answer.failure
    assert [len(fake.runs) for fake in house.fakes] == [reserved.worker == 0, reserved.worker == 1]
    assert house.fakes[reserved.worker].runs[0].name == named(1)


@pytest.mark.parametrize("house", [3], indirect=True)
async def test_reservations_are_spread_over_the_workers(house: Any) -> None:
    chosen = Counter(house.dispatcher.reserve(Reserve(name=named(job)), CALL).worker for job in range(9))
    assert chosen == {0: 3, 1: 3, 2: 3}


async def test_reserving_again_gives_the_same_worker(house: Any) -> None:
    first = house.dispatcher.reserve(Reserve(name=named(1)), CALL)
    house.dispatcher.reserve(Reserve(name=named(2)), CALL)
    assert house.dispatcher.reserve(Reserve(name=named(1)), CALL) == first


async def test_a_busy_worker_gets_less(house: Any) -> None:
    house.fakes[0].release.clear()
    jobs = [exchange(house, job, worker=0) for job in (1, 2)]
    await house.settle()
    assert {house.dispatcher.reserve(Reserve(name=named(job)), CALL).worker for job in (3, 4)} == {1}
    house.fakes[0].release.set()
    await asyncio.gather(*jobs)


async def test_a_reservation_that_nobody_uses_stops_counting(house: Any) -> None:
    for job in range(2):
        house.dispatcher.reserve(Reserve(name=named(job)), CALL)
    house.dispatcher.cancel(Cancel(name=named(1)), CALL)
    assert house.dispatcher.reserve(Reserve(name=named(5)), CALL).worker == 1
    house.now = 31.0
    assert [house.dispatcher.reserve(Reserve(name=named(job)), CALL).worker for job in (6, 7)] == [0, 1]


async def test_a_worker_that_starts_anew_loses_its_jobs_and_gets_no_job_twice(house: Any) -> None:
    house.fakes[0].release.clear()
    lost, kept = exchange(house, 1, worker=0), exchange(house, 2, worker=1)
    assert (await kept).block.length == 64
    await house.settle()
    house.fakes[0].restart()
    assert (await lost).failure == "worker died"
    await house.until(lambda: house.fakes[0].aborts == [named(1)])
    assert len(house.fakes[0].runs) == 1
    house.fakes[0].release.set()
    assert (await exchange(house, 3, worker=0)).block.length == 64


async def test_a_worker_that_falls_silent_loses_its_jobs(house: Any) -> None:
    house.fakes[0].release.clear()
    lost = exchange(house, 1, worker=0)
    await house.settle()
    house.fakes[0].alive = False
    assert (await lost).failure == "worker died"
    assert house.workers[0].state == "silent"
    assert house.dispatcher.reserve(Reserve(name=named(1)), CALL).worker == 1
    house.fakes[0].alive = True
    await house.until(lambda: house.workers[0].lives)
    assert [event["state"] for event in house.events if event["worker"] == 0] == ["ready", "silent", "ready"]


async def test_without_a_living_worker_nothing_is_reserved_and_the_dispatcher_is_not_ready(house: Any) -> None:
    assert house.dispatcher.waiting_for() == ""
    for fake in house.fakes:
        fake.alive = False
    await house.until(lambda: bool(house.dispatcher.waiting_for()))
    with pytest.raises(Unavailable):
        house.dispatcher.reserve(Reserve(name=named(1)), CALL)


async def test_a_worker_that_refuses_is_an_exchange_without_key(house: Any) -> None:
    house.fakes[0].full = True
    assert "busy" in (await exchange(house, 1)).failure
    house.fakes[1].answer = Exchanged(failure="qber", alarm=True)
    answer = await exchange(house, 2, worker=1)
    assert answer.alarm and answer.failure == "qber"


async def test_an_unknown_worker_is_refused(house: Any) -> None:
    with pytest.raises(Refused):
        await exchange(house, 1, worker=7)


async def test_cancelling_ends_the_job_and_tells_the_worker(house: Any) -> None:
    house.fakes[0].release.clear()
    job = exchange(house, 1)
    await house.settle()
    house.dispatcher.cancel(Cancel(name=named(1)), CALL)
    assert (await job).failure == "cancelled"
    await house.until(lambda: house.fakes[0].aborts == [named(1)])
    house.dispatcher.cancel(Cancel(name=named(99)), CALL)  # of an unknown job: nothing happens


async def test_a_job_that_runs_already_is_joined(house: Any) -> None:
    house.fakes[0].release.clear()
    one, two = exchange(house, 1), exchange(house, 1)
    await house.settle()
    house.fakes[0].release.set()
    assert (await one) is (await two)
    assert len(house.fakes[0].runs) == 1


async def test_workers_are_listed_with_what_they_did(house: Any) -> None:
    house.fakes[1].answer = Exchanged(failure="verification")
    await asyncio.gather(exchange(house, 1), exchange(house, 2), exchange(house, 3, worker=1))
    one, two = house.dispatcher.list_workers(ListWorkers(), CALL).workers
    assert (one.worker, one.state, one.running, one.done, one.failed) == (0, "ready", 0, 2, 0)
    assert (two.worker, two.state, two.running, two.done, two.failed) == (1, "ready", 0, 0, 1)


async def test_an_idle_worker_is_seldom_asked_for_its_health(house: Any) -> None:
    before = house.fakes[0].pings
    await asyncio.sleep(3.5 * IDLE)
    idle = house.fakes[0].pings - before
    house.fakes[0].release.clear()
    job = exchange(house, 1)
    await asyncio.sleep(3.5 * IDLE)
    assert 2 <= idle <= 5 < house.fakes[0].pings - before - idle
    house.fakes[0].release.set()
    await job
