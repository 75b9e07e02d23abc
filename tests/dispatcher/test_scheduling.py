"""Jobs wait for room, are taken away from workers that are lost or slow, and it is said when to try again at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Exhausted, Refused, Unavailable
from qkdbus.signs import Sign
from qkdbus.wire.dispatcher_pb2 import Cancel, Exchange, Exchanged, JobName, ListWorkers, Reserve, Reserved
from qkdbus_dispatcher.pace import AGAINST_OTHERS, FORMER, LEAST_FORMER, LEAST_OTHERS, OVERTAKEN
from qkdbus_dispatcher.places import HELD
from qkdbus_dispatcher.workers import BUSY, ROUND, STRUCK

CALL = Call(OPERATOR, patience=500.0)


def named(job: int, peer: str = "Bob") -> JobName:
    return JobName(peer=peer, epoch_n=1, epoch_r=2, job=job)


def limit(house: Any, capacity: int) -> None:
    for worker in house.workers:
        worker.limit = capacity


def exchange(house: Any, name: JobName, worker: int, *, arbiter: bool = True) -> asyncio.Task[Exchanged]:
    request = Exchange(name=name, arbiter=arbiter, bits=64, worker=worker)
    return asyncio.create_task(house.dispatcher.exchange(request, CALL))


async def place(house: Any, name: JobName, priority: int = 0, patience: float = 500.0) -> Reserved:
    """Reserve, and wait for it."""
    answer = house.dispatcher.reserve(Reserve(name=name, priority=priority, bits=64), Call(OPERATOR, patience=patience))
    return answer if isinstance(answer, Reserved) else await answer


async def job(house: Any, name: JobName, priority: int = 0) -> Exchanged:
    return await exchange(house, name, (await place(house, name, priority)).worker)


async def test_no_worker_gets_more_than_it_has_room_for(house: Any) -> None:
    limit(house, 2)
    for fake in house.fakes:
        fake.release.clear()
    jobs = [asyncio.create_task(job(house, named(n))) for n in range(7)]
    await house.settle()
    assert [len(fake.runs) for fake in house.fakes] == [2, 2]
    assert house.dispatcher.waiting == 3
    house.fakes[0].release.set()
    house.fakes[1].release.set()
    answers = await asyncio.gather(*jobs)
    assert all(answer.HasField("block") for answer in answers)
    assert house.dispatcher.waiting == house.dispatcher.running == 0
    assert sum(len(fake.runs) for fake in house.fakes) == 7


async def test_a_reservation_holds_its_room(house: Any) -> None:
    limit(house, 1)
    held = {(await place(house, named(n))).worker for n in (1, 2)}
    assert held == {0, 1}
    waiting = asyncio.create_task(place(house, named(3)))
    await house.settle()
    assert not waiting.done()
    assert (await place(house, named(1))).worker in held, "asked again, it has its place already"
    house.dispatcher.cancel(Cancel(name=named(2)), CALL)
    assert (await waiting).worker in held


async def test_a_reservation_that_nobody_uses_gives_way(house: Any) -> None:
    limit(house, 1)
    for n in (1, 2):
        await place(house, named(n))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await place(house, named(3))
    assert HELD <= loop.time() - began < HELD + 1.0


async def test_higher_priority_goes_first(house: Any) -> None:
    limit(house, 1)
    for fake in house.fakes:
        fake.release.clear()
    first = [asyncio.create_task(job(house, named(n))) for n in (1, 2)]
    await house.settle()
    order: list[int] = []

    async def noted(n: int, priority: int) -> None:
        await job(house, named(n), priority)
        order.append(n)

    later = [asyncio.create_task(noted(n, priority)) for n, priority in ((3, 0), (4, 5), (5, 1), (6, 5))]
    await house.settle()
    for fake in house.fakes:
        fake.release.set()
    await asyncio.gather(*first, *later)
    assert order == [4, 6, 5, 3]


async def test_a_busy_link_leaves_the_others_their_turns(house: Any) -> None:
    limit(house, 1)
    house.queue.most = 100
    done: Counter[str] = Counter()
    turns: list[str] = []

    async def keep_asking(peer: str, count: int) -> None:
        for n in range(count):
            await job(house, named(n, peer))
            done[peer] += 1
            turns.append(peer)

    busy = [
        asyncio.create_task(job(house, JobName(peer="Bob", epoch_n=n, epoch_r=9, job=1))) for n in range(60)
    ]  # all of them at once
    await house.settle(2)
    await keep_asking("Charlie", 5)
    assert sum(task.done() for task in busy) < 40, "Charlie did not wait for all that Bob wants"
    await asyncio.gather(*busy)
    assert turns == ["Charlie"] * 5


async def test_a_full_queue_turns_jobs_away(house: Any) -> None:
    limit(house, 1)
    for fake in house.fakes:
        fake.release.clear()
    jobs = [asyncio.create_task(job(house, named(n))) for n in range(2 + house.queue.most)]
    await house.settle()
    with pytest.raises(Exhausted):
        await place(house, named(99))
    urgent = asyncio.create_task(job(house, named(100), priority=1))
    await house.settle()
    for fake in house.fakes:
        fake.release.set()
    assert (await urgent).HasField("block")
    ends = await asyncio.gather(*jobs, return_exceptions=True)
    assert sum(isinstance(end, Exhausted) for end in ends) == 1
    assert house.counters["jobs_turned_away"] == 2


async def test_who_waits_too_long_is_told_and_keeps_no_place(house: Any) -> None:
    limit(house, 1)
    for fake in house.fakes:
        fake.release.clear()
    jobs = [asyncio.create_task(job(house, named(n))) for n in (1, 2)]
    await house.settle()
    with pytest.raises(Exhausted):
        await place(house, named(3), patience=1.0)
    assert house.dispatcher.waiting == 0
    for fake in house.fakes:
        fake.release.set()
    await asyncio.gather(*jobs)


async def test_cancelling_a_job_that_waits_ends_its_wait(house: Any) -> None:
    limit(house, 1)
    for n in (1, 2):
        await place(house, named(n))
    waiting = asyncio.create_task(place(house, named(3)))
    await house.settle()
    house.dispatcher.cancel(Cancel(name=named(3)), CALL)
    with pytest.raises(Refused):
        await waiting
    assert house.dispatcher.waiting == 0


async def test_the_job_of_a_worker_that_is_killed_fails_at_once_and_may_be_tried_again_at_once(house: Any) -> None:
    house.fakes[0].release.clear()
    lost = exchange(house, named(1), 0)
    await house.settle()
    loop = asyncio.get_running_loop()
    began = loop.time()
    house.kill(0)
    answer = await lost
    assert loop.time() == began
    assert answer.again
    assert answer.failure == "worker died"
    assert house.counters["jobs_lost"] == 1
    assert (await place(house, named(2))).worker == 1


async def test_the_job_of_a_worker_that_is_stopped_fails_soon(house: Any) -> None:
    house.fakes[0].release.clear()
    lost = exchange(house, named(1), 0)
    await house.settle()
    loop = asyncio.get_running_loop()
    began = loop.time()
    house.signs[house.fakes[0].process] = Sign("T", 1.0)
    house.fakes[0].alive = False
    assert (await lost).again
    assert loop.time() - began <= BUSY + 2 * ROUND


async def test_where_no_other_worker_is_there_is_no_hurry(house: Any) -> None:
    house.kill(1)
    house.fakes[0].release.clear()
    lost = exchange(house, named(1), 0)
    await house.settle()
    house.kill(0)
    assert not (await lost).again
    assert house.dispatcher.waiting_for() == "a qbackend worker"


async def test_those_who_wait_are_told_when_the_last_worker_is_lost(house: Any) -> None:
    limit(house, 1)
    for n in (1, 2):
        await place(house, named(n))
    waiting = asyncio.create_task(place(house, named(3)))
    await house.settle()
    house.kill(0)
    await house.settle()
    assert not waiting.done()
    house.kill(1)
    with pytest.raises(Unavailable):
        await waiting


async def test_what_the_worker_itself_says_of_trying_again_is_not_believed(house: Any) -> None:
    house.fakes[0].answer = Exchanged(failure="dark", again=True)
    assert not (await exchange(house, named(1), 0)).again


async def test_a_worker_lost_between_reservation_and_exchange(house: Any) -> None:
    """The arbiter has named it to the follower: it tries again. The follower just gets another one."""
    promised = await place(house, named(1))
    house.kill(promised.worker)
    arbiter = await exchange(house, named(1), promised.worker)
    assert arbiter.failure
    assert arbiter.again
    assert (await exchange(house, named(2), promised.worker, arbiter=False)).HasField("block")
    assert len(house.fakes[1 - promised.worker].runs) == 1


async def test_an_exchange_that_others_overtake_is_taken_away(house: Any) -> None:
    house.fakes[0].release.clear()
    stuck = exchange(house, named(1), 0)
    await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for n in range(OVERTAKEN):
        assert (await exchange(house, named(10 + n), 1)).HasField("block")
    answer = await stuck
    assert answer.again
    assert answer.failure == "worker is slow"
    assert loop.time() - began <= max(LEAST_OTHERS, AGAINST_OTHERS * 0.01) + 0.6
    await house.until(lambda: house.fakes[0].aborts == [named(1)])
    assert house.counters["jobs_slow"] == 1
    [info, _] = house.dispatcher.list_workers(ListWorkers(), CALL).workers
    assert (info.slow, info.last_choice, info.state) == (1, True, "ready")
    assert {(await place(house, named(20 + n))).worker for n in range(4)} == {1}, "the slow one is asked last"
    house.now += STRUCK
    assert (await place(house, named(30))).worker == 0, "it has the least to do, and is forgiven"


async def test_a_slow_worker_gets_what_no_other_has_room_for(house: Any) -> None:
    limit(house, 2)
    house.workers[0].strike(house.time())
    assert [(await place(house, named(n))).worker for n in range(4)] == [1, 1, 0, 0]


async def test_one_that_takes_far_longer_than_former_ones_is_taken_away(house: Any) -> None:
    for n in range(FORMER):
        await exchange(house, named(n), 0)
    house.fakes[0].release.clear()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await exchange(house, named(9), 0)).again
    assert LEAST_FORMER < loop.time() - began < LEAST_FORMER + 1.0


@pytest.mark.parametrize("house", [1], indirect=True)
async def test_a_slow_exchange_is_left_alone_where_there_is_no_other_worker(house: Any) -> None:
    for n in range(FORMER):
        await exchange(house, named(n), 0)
    house.fakes[0].release.clear()
    slow = exchange(house, named(9), 0)
    await asyncio.sleep(20 * LEAST_FORMER)
    assert not slow.done()
    house.fakes[0].release.set()
    assert (await slow).HasField("block")


async def test_what_waits_and_runs_is_told_by_link(house: Any) -> None:
    limit(house, 1)
    for fake in house.fakes:
        fake.release.clear()
    jobs = [asyncio.create_task(job(house, named(1, peer))) for peer in ("Bob", "Charlie")]
    await house.settle()
    jobs += [asyncio.create_task(job(house, named(2, "Charlie"), priority)) for priority in (3,)]
    await house.settle()
    await asyncio.sleep(1.0)
    said = house.dispatcher.list_workers(ListWorkers(), CALL)
    bob, charlie = said.links
    assert (bob.peer, bob.running, bob.waiting, bob.longest) == ("Bob", 1, 0, 0.0)
    assert (charlie.peer, charlie.running, charlie.waiting, charlie.priority) == ("Charlie", 1, 1, 3)
    assert 0.9 < charlie.longest < 1.5
    assert [(worker.running, worker.capacity) for worker in said.workers] == [(1, 1), (1, 1)]
    assert said.most_waiting == house.queue.most
    for fake in house.fakes:
        fake.release.set()
    await asyncio.gather(*jobs)
    bob, charlie = house.dispatcher.list_workers(ListWorkers(), CALL).links
    assert (bob.done, charlie.done, bob.running, charlie.waiting) == (1, 2, 0, 0)


async def test_the_trace_goes_on_to_the_worker(house: Any) -> None:
    request = Exchange(name=named(1), arbiter=True, bits=64, worker=0)
    await house.dispatcher.exchange(request, Call(OPERATOR, patience=5.0, trace=b"follow me"))
    assert house.fakes[0].traces == [b"follow me"]
