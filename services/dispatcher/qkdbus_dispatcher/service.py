"""The dispatcher: gives each job to a worker, and tells at once when that worker is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from qkdbus.contracts.call import Call
from qkdbus.errors import QkdbusError, Refused, Unavailable
from qkdbus.wire.dispatcher_pb2 import (
    Cancel,
    Cancelled,
    Exchange,
    Exchanged,
    JobName,
    ListWorkers,
    Reserve,
    Reserved,
    Workers,
)
from qkdbus.wire.qbackend_pb2 import Abort, Run

from .workers import Worker

HELD = 30.0  # s that a reservation counts as load without its exchange
PATIENCE = 120.0  # s for an exchange, when the caller does not say
ABORT_PATIENCE = 2.0

Name = bytes  # a JobName, serialised


@dataclass(slots=True)
class _Job:
    """An exchange in progress."""

    worker: Worker
    task: asyncio.Task[Exchanged]
    cancelled: asyncio.Event


class Dispatcher:
    """Keeps the contract of the dispatcher."""

    def __init__(self, workers: list[Worker], monotonic: Callable[[], float]) -> None:
        self._workers, self._monotonic = workers, monotonic
        self._reserved: dict[Name, tuple[Worker, float]] = {}
        self._jobs: dict[Name, _Job] = {}
        self._errands: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Exchanges in progress."""
        return len(self._jobs)

    def waiting_for(self) -> str:
        """Return "" when at least one worker lives."""
        return "" if any(worker.lives for worker in self._workers) else "a qbackend worker"

    def reserve(self, request: Reserve, call: Call) -> Reserved:
        """Choose the living worker with the least to do. Unavailable when there is none."""
        name = _name(request.name)
        worker = self._held().get(name) or self._least()
        self._reserved[name] = worker, self._monotonic()
        return Reserved(worker=worker.number, endpoint=worker.endpoint)

    async def exchange(self, request: Exchange, call: Call) -> Exchanged:
        """Have a block formed by the worker that was reserved. A job that runs already is joined.

        Never fails because of the worker: then the answer says why there is no block.
        """
        name = _name(request.name)
        job = self._jobs.get(name)
        if job is None:
            job = self._begin(name, request, call)
        return await asyncio.shield(job.task)

    def cancel(self, request: Cancel, call: Call) -> Cancelled:
        """End an exchange, if it runs, and free its reservation."""
        name = _name(request.name)
        self._reserved.pop(name, None)
        job = self._jobs.get(name)
        if job is not None:
            job.cancelled.set()
        return Cancelled()

    def list_workers(self, request: ListWorkers, call: Call) -> Workers:
        """Describe all workers."""
        return Workers(workers=[worker.info() for worker in self._workers])

    async def stop(self) -> None:
        """End every exchange, and let the workers know."""
        for job in self._jobs.values():
            job.cancelled.set()
        tasks = [job.task for job in self._jobs.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
        for errand in self._errands:
            errand.cancel()

    # -- choosing
    def _held(self) -> dict[Name, Worker]:
        """Forget old reservations, and those with workers that are gone; return the others."""
        since = self._monotonic() - HELD
        self._reserved = {
            name: (worker, at) for name, (worker, at) in self._reserved.items() if at > since and worker.lives
        }
        return {name: worker for name, (worker, _) in self._reserved.items()}

    def _least(self) -> Worker:
        held = list(self._held().values())
        living = [worker for worker in self._workers if worker.lives]
        if not living:
            raise Unavailable("no qbackend worker answers")
        return min(living, key=lambda worker: (worker.running + held.count(worker), worker.number))

    # -- carrying out
    def _begin(self, name: Name, request: Exchange, call: Call) -> _Job:
        if request.worker >= len(self._workers):
            raise Refused(f"there is no worker {request.worker}")
        self._reserved.pop(name, None)
        worker, cancelled = self._workers[request.worker], asyncio.Event()
        task = asyncio.create_task(self._carry_out(worker, request, call, cancelled))
        job = self._jobs[name] = _Job(worker, task, cancelled)
        task.add_done_callback(lambda _: self._jobs.pop(name, None))
        return job

    async def _carry_out(self, worker: Worker, request: Exchange, call: Call, cancelled: asyncio.Event) -> Exchanged:
        answer = Exchanged(failure="worker died")
        lost = worker.begin()
        running = asyncio.create_task(self._run(worker, request, call))
        ends = [asyncio.create_task(lost.wait()), asyncio.create_task(cancelled.wait())]
        try:
            await asyncio.wait([running, *ends], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                answer = running.result()
            else:  # the call must not be sent again to a worker that has started anew
                answer.failure = "cancelled" if cancelled.is_set() else "worker died"
                self._tell_off(worker, request.name)
        finally:
            worker.end(answer.HasField("block"))
            for task in (running, *ends):
                task.cancel()
            await asyncio.gather(running, *ends, return_exceptions=True)
        return answer

    async def _run(self, worker: Worker, request: Exchange, call: Call) -> Exchanged:
        patience = call.patience or PATIENCE
        try:
            run = Run(exchange=request, since=worker.since)  # repeated by the bus, and only meant for this process
            answer = await worker.asker.ask("run", run, patience=patience, trace=call.trace)
        except QkdbusError as error:
            worker.suspect()
            return Exchanged(failure=str(error))
        assert isinstance(answer, Exchanged)
        return answer

    def _tell_off(self, worker: Worker, name: JobName) -> None:
        """Have the worker end a job that nobody waits for any more."""

        async def errand() -> None:
            with suppress(QkdbusError):  # when it is gone, so is the job
                await worker.asker.ask("abort", Abort(name=name), patience=ABORT_PATIENCE)

        task = asyncio.create_task(errand())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


def _name(name: JobName) -> Name:
    return name.SerializeToString(deterministic=True)
