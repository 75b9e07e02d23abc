"""What any dispatcher must do: give jobs to workers that live, and answer each job whatever happens to them.

One process at Alice, under two workers that are stand-ins and come and go.
"""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial

from ..contracts.dispatcher import CONTRACT
from ..network.model import Network
from ..wire.dispatcher_pb2 import (
    Cancel,
    Cancelled,
    Exchange,
    Exchanged,
    JobName,
    Reserve,
)
from ..wire.head_pb2 import EXHAUSTED, REFUSED, UNAVAILABLE
from ..wire.record_pb2 import BlockRecord
from .check import Breach, Layer, Suite, hold
from .line import Answer
from .networks import ALICE, network
from .waiting import until
from .workers import WORKERS, Scene

SUITE = Suite()
must = SUITE.must
WHERE = "design 4; dispatcher.proto"
DEATHS = "design 1, 4 (the dispatcher: what happens if a worker dies)"


@must("`list_workers` names every worker with its number, and its endpoint as node.yaml says.", WHERE)
async def workers_are_listed(scene: Scene) -> None:
    infos, settings = await scene.infos(), scene.stage.settings(ALICE)
    hold(set(infos) == set(range(WORKERS)), f"workers {list(range(WORKERS))}", f"workers {sorted(infos)}")
    for number, port in enumerate(settings.ports.qbackend):
        at = f"tcp://{settings.host}:{port}"
        hold(infos[number].endpoint == at, f"worker {number} at {at}", f"it is at {infos[number].endpoint!r}")


@must("A job runs on the worker that was reserved for it, and its block comes back untouched.", WHERE)
async def a_job_runs_where_it_was_reserved(scene: Scene) -> None:
    for bits in (64, 1000):
        name = scene.new_job()
        reserved = await scene.reserve(name)
        infos = await scene.infos()
        known = reserved.worker in infos and reserved.endpoint == infos[reserved.worker].endpoint
        hold(known, "a worker of list_workers, with its endpoint", f"worker {reserved.worker} at {reserved.endpoint!r}")
        answer = await scene.exchange(name, reserved.worker, bits)
        worker = scene.workers[reserved.worker]
        asked = [run.exchange for run in worker.runs if run.exchange.name == name]
        hold(len(asked) == 1, f"one run of this job at worker {reserved.worker}", f"{len(asked)} runs there")
        same = (asked[0].bits, asked[0].arbiter, asked[0].protocol) == (bits, True, "e91-same-bases")
        hold(same, "bits, role and protocol as they were asked", "others")
        formed = worker.blocks[name.SerializeToString(deterministic=True)][0]
        hold(answer.HasField("block"), "the worker's block", f"none: {answer.failure}")
        hold(answer.block == formed, "the block as the worker formed it", "another block, or a changed one")


@must("The follower's worker is told where the arbiter's worker waits.", WHERE)
async def the_endpoint_is_passed_on(scene: Scene) -> None:
    name, endpoint = scene.new_job(), "tcp://127.0.0.1:9"
    worker = (await scene.reserve(name)).worker
    asked = Exchange(name=name, arbiter=False, bits=64, protocol="bbm92", endpoint=endpoint, worker=worker)
    (await scene.line.ask("exchange", asked)).read(Exchanged)
    [run] = [run.exchange for run in scene.workers[worker].runs if run.exchange.name == name]
    hold((run.endpoint, run.arbiter) == (endpoint, False), "endpoint and role as asked", f"endpoint {run.endpoint!r}")


@must("Reserving a job again gives the same worker.", WHERE)
async def reserving_again_gives_the_same_worker(scene: Scene) -> None:
    name = scene.new_job()
    first = await scene.reserve(name)
    for _ in range(2):
        await scene.reserve(scene.new_job())
    again = await scene.reserve(name)
    hold(again == first, f"worker {first.worker} again", f"worker {again.worker}")


@must("Jobs are spread over the workers that live.", "design 4 (scale a layer)")
async def jobs_are_spread(scene: Scene) -> None:
    await _spread(scene)


async def _spread(scene: Scene) -> None:
    """Wait until each worker gets some of a few jobs: one that was slow a moment ago may be spared for a while."""
    await until(partial(_is_spread, scene), "of 8 jobs some for each worker that lives")


async def _is_spread(scene: Scene) -> bool:
    names = [scene.new_job() for _ in range(8)]
    chosen = {(await scene.reserve(name)).worker for name in names}
    for name in names:
        (await scene.line.ask("cancel", Cancel(name=name))).read(Cancelled)
    return chosen == set(range(WORKERS))


def _started(scene: Scene, number: int, names: list[JobName]) -> list[JobName]:
    return [run.exchange.name for run in scene.workers[number].runs if run.exchange.name in names]


@must("Twenty jobs at once: each gets the block that was formed for it.", WHERE)
async def blocks_are_not_mixed_up(scene: Scene) -> None:
    names = [scene.new_job() for _ in range(20)]
    answers = await asyncio.gather(*(scene.job(name) for name in names))
    for name, answer in zip(names, answers, strict=True):
        hold(answer.HasField("block"), "a block for each job", f"none: {answer.failure}")
        hold(answer.block.run in scene.formed_for(name), "the block of this job", "another job's block")


@must("A repeated call is carried out once, and gets the same answer again.", "design 3; contracts/dispatcher.py")
async def a_repeated_call_gets_the_same_answer(scene: Scene) -> None:
    name, line = scene.new_job(), scene.stage.line(ALICE)
    try:
        worker = (await scene.reserve(name)).worker
        asked = Exchange(name=name, arbiter=True, bits=64, worker=worker)
        first, again = [(await line.ask("exchange", asked, number=9)).read(Exchanged) for _ in range(2)]
    finally:
        line.close()
    hold(again == first, "the same block for the same call", "another answer")
    hold(len(scene.formed_for(name)) == 1, "one run at the worker", f"{len(scene.formed_for(name))} runs")


@must("A call that is repeated while it runs, and another call for the same job, join it.", WHERE)
async def a_running_job_is_joined(scene: Scene) -> None:
    for worker in scene.workers.values():
        worker.held = True
    name, lines = scene.new_job(), [scene.stage.line(ALICE) for _ in range(2)]
    number = (await scene.reserve(name)).worker
    asked = Exchange(name=name, arbiter=True, bits=64, worker=number)
    calls = [asyncio.create_task(line.ask("exchange", asked, number=5)) for line in lines]
    try:
        await until(lambda: bool(_started(scene, number, [name])), "the job at its worker")
        await asyncio.sleep(1.5)  # so that the calls are sent again
        scene.workers[number].release()
        answers = [answer.read(Exchanged) for answer in await asyncio.gather(*calls)]
    finally:
        for line in lines:
            line.close()
    hold(answers[0] == answers[1], "one answer to both", "two different answers")
    runs = [run for at in range(WORKERS) for run in _started(scene, at, [name])]
    hold(len(runs) == 1, "one run at the worker", f"{len(runs)} runs")


@must("An exchange without a key is an answer with its reason, alarm and record; not an error.", WHERE)
async def a_failed_exchange_is_an_answer(scene: Scene) -> None:
    record = BlockRecord(qber=0.25, disclosed=100)
    for worker in scene.workers.values():
        worker.answer = Exchanged(failure="qber", alarm=True, record=record)
    answer = await scene.job()
    hold(not answer.HasField("block"), "no block", "a block")
    told = bool(answer.failure) and answer.alarm and answer.record == record
    hold(told, "the worker's reason, alarm and record", f"failure {answer.failure!r}, alarm {answer.alarm}")


@must("A worker that refuses is no error of the job's caller either.", WHERE)
async def a_refusing_worker_is_no_error(scene: Scene) -> None:
    for worker in scene.workers.values():
        worker.full = True
    answer = await scene.job()
    hold(bool(answer.failure) and not answer.HasField("block"), "no block, with a reason", "neither")


@must("A worker number that does not exist is refused.", WHERE)
async def an_unknown_worker_is_refused(scene: Scene) -> None:
    answer = await scene.line.ask("exchange", Exchange(name=scene.new_job(), arbiter=True, bits=64, worker=63))
    hold(answer.head.outcome == REFUSED, "REFUSED", answer.words)


@must("Cancelling ends a job: its caller is answered, its worker told. Of an unknown job it does nothing.", WHERE)
async def cancelling_ends_a_job(scene: Scene) -> None:
    (await scene.line.ask("cancel", Cancel(name=scene.new_job()))).read(Cancelled)
    for worker in scene.workers.values():
        worker.held = True
    name = scene.new_job()
    number = (await scene.reserve(name)).worker
    running = asyncio.create_task(scene.exchange(name, number))
    await until(lambda: bool(_started(scene, number, [name])), "the job at its worker")
    (await scene.line.ask("cancel", Cancel(name=name))).read(Cancelled)
    answer = await running
    hold(not answer.HasField("block"), "no block", "a block")
    await until(lambda: name in scene.workers[number].aborts, "`abort` at its worker")


@must("The trace of a call goes on to the worker.", "design 3; head.proto (trace)")
async def the_trace_is_passed_on(scene: Scene) -> None:
    name, trace = scene.new_job(), os.urandom(8)
    number = (await scene.reserve(name)).worker
    (await scene.line.ask("exchange", Exchange(name=name, arbiter=True, bits=64, worker=number), trace=trace)).read(
        Exchanged
    )
    traces = [
        call.trace
        for worker in scene.workers.values()
        for run, call in zip(worker.runs, worker.calls, strict=True)
        if run.exchange.name == name
    ]
    hold(traces and set(traces) == {trace}, "the trace of the call", "none, or another")


@must("A dead worker is not said to be ready, and gets no job; the living one does.", DEATHS)
async def a_dead_worker_gets_no_job(scene: Scene) -> None:
    scene.take_down(0)
    await scene.until_state(0, "not ready")
    chosen = {(await scene.reserve(scene.new_job())).worker for _ in range(4)}
    hold(chosen == {1}, "worker 1, which lives", f"workers {sorted(chosen)}")
    answer = await scene.job()
    hold(answer.HasField("block"), "a block of worker 1", f"none: {answer.failure}")


@must("The job of a worker that dies is answered, with a block of another worker or a reason; never lost.", DEATHS)
async def the_job_of_a_dead_worker_is_answered(scene: Scene) -> None:
    await _lose(scene, lambda number: scene.take_down(number))


@must("The job of a worker that dies and is there again at once is answered, too.", DEATHS)
async def the_job_of_a_restarted_worker_is_answered(scene: Scene) -> None:
    def restart(number: int) -> None:
        scene.take_down(number)
        scene.put_up(number)

    await _lose(scene, restart)


async def _lose(scene: Scene, kill: Callable[[int], None]) -> None:
    await _spread(scene)
    names = [scene.new_job() for _ in range(4)]
    reserved = [(await scene.reserve(name)).worker for name in names]
    hold(0 in reserved, "of 4 jobs one for worker 0", "none")
    for worker in scene.workers.values():
        worker.held = True
    jobs = [asyncio.create_task(scene.exchange(*each)) for each in zip(names, reserved, strict=True)]
    at_0 = [name for name, number in zip(names, reserved, strict=True) if number == 0]
    await until(lambda: len(_started(scene, 0, at_0)) == len(at_0), f"{len(at_0)} jobs at worker 0")
    kill(0)
    scene.workers[1].release()
    try:
        answers = await asyncio.gather(*jobs)
    except Breach as breach:
        raise Breach("an answer to every job, that of the dead worker included", breach.came) from None
    for name, answer in zip(names, answers, strict=True):
        if answer.HasField("block"):
            hold(answer.block.run in scene.formed_for(name), "the block of this job", "another job's block")
        else:
            hold(answer.failure, "a reason for each job without a block", "neither block nor reason")


@must("A worker that comes back is given work again.", DEATHS)
async def a_worker_that_comes_back_is_used(scene: Scene) -> None:
    scene.take_down(1)
    await scene.until_state(1, "not ready")
    scene.put_up(1)
    await scene.until_state(1, "ready")
    await _spread(scene)


@must("Without a living worker it is not ready, and a reservation is refused for now (UNAVAILABLE, EXHAUSTED).", DEATHS)
async def without_workers_it_is_not_ready(scene: Scene) -> None:
    for number in list(scene.rooms):
        scene.take_down(number)
    for number in range(WORKERS):
        await scene.until_state(number, "not ready")
    health = await scene.stage.subject().health()
    hold(not health.ready and health.waiting_for, "not ready, and what it waits for", "ready, or no reason")
    answer: Answer = await scene.line.ask("reserve", Reserve(name=scene.new_job()))
    hold(answer.head.outcome in (UNAVAILABLE, EXHAUSTED), "UNAVAILABLE or EXHAUSTED", answer.words)


@must("After its own death it finds the workers again, and goes on.", "design 5 (whatever is killed, whenever)")
async def it_goes_on_after_its_own_death(scene: Scene) -> None:
    await scene.stage.restart()
    await scene.settle()
    answer = await scene.job()
    hold(answer.HasField("block"), "a block", f"none: {answer.failure}")


def _network() -> Network:
    return network({"emulator": "ideal"}, {"qbackend": {"replicas": WORKERS}})


LAYER = Layer("dispatcher", CONTRACT, _network(), (ALICE,), Scene, tuple(SUITE.checks))
