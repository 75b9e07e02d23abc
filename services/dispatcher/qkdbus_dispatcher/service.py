"""The dispatcher: gives each job to a worker, as many at once as the worker likes; tells at once when it is lost.

A job waits in `reserve` until a worker has room for it, and holds that room until its exchange ends. The arbiter of a
link reserves first, and names its worker to the follower only then; as the arbiter is the end with the smaller name,
all jobs of the network take what they need in one order, and no two of them can wait for each other.

What is lost is not repeated here: the arbiter's keysync tries again under a new number (agreement 5.1), and the answer
says when that need not wait (`again`). Only a follower whose worker was lost before the exchange began is simply given
another one: where it is is nobody's business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.contracts.dispatcher import notes
from qkdbus.errors import QkdbusError, Refused
from qkdbus.wire.dispatcher_pb2 import (
    Cancel,
    Cancelled,
    Exchange,
    Exchanged,
    JobName,
    LinkJobs,
    ListWorkers,
    Reserve,
    Reserved,
    Workers,
)
from qkdbus.wire.qbackend_pb2 import Abort, Run

from .jobs import Job, Tally
from .pace import Pace
from .places import Name, Places, name_of
from .queue import JobQueue
from .workers import Worker

PATIENCE = 120.0  # s for an exchange, or a place, when the caller does not say
ABORT_PATIENCE = 2.0
LOOK = 0.25  # s between looks at what takes too long for one of several workers,
LOOK_ALONE = 2.0  # and at what is left of old reservations alone: a single worker cannot be relieved


class Dispatcher:
    """Keeps the contract of the dispatcher."""

    def __init__(
        self,
        workers: list[Worker],
        monotonic: Callable[[], float],
        *,
        queue: JobQueue | None = None,
        counters: Counter[str] | None = None,
    ) -> None:
        self._workers, self._monotonic = workers, monotonic
        self._counters: Counter[str] = Counter() if counters is None else counters
        self._places = Places(workers, JobQueue() if queue is None else queue, self._counters, monotonic)
        self._pace = Pace()
        self._jobs: dict[Name, Job] = {}
        self._links: dict[str, Tally] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        for worker in workers:
            worker.when_lost, worker.when_ready = self._lost, lambda _: self._grant()

    @property
    def running(self) -> int:
        """Exchanges in progress."""
        return len(self._jobs)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._places)

    def waiting_for(self) -> str:
        """Return "" when at least one worker lives."""
        return "" if self._places.any_lives else "a qbackend worker"

    # -- the contract
    def reserve(self, request: Reserve, call: Call) -> Reserved | Awaitable[Reserved]:
        """Choose a worker with room, now or when the job's turn has come; the same again when asked again.

        Unavailable when no worker lives, Exhausted when too many jobs wait, or none of this one's turns came in time.
        """
        place = self._places.reserve(request, call.patience or PATIENCE)
        self._watch()
        return place

    async def exchange(self, request: Exchange, call: Call) -> Exchanged:
        """Have a block formed by the worker that was reserved. A job that runs already is joined.

        Never fails because of the worker: then the answer says why there is no block.
        """
        name = name_of(request.name)
        job = self._jobs.get(name) or self._begin(name, request, call)
        return await asyncio.shield(job.outcome)

    def cancel(self, request: Cancel, call: Call) -> Cancelled:
        """End an exchange, if it runs; free its reservation, or its place among those that wait."""
        name = name_of(request.name)
        self._places.leave(name, "cancelled")
        job = self._jobs.get(name)
        if job is not None:
            self._take_away(job, "cancelled")
        self._grant()
        return Cancelled()

    def list_workers(self, request: ListWorkers, call: Call) -> Workers:
        """Describe all workers, and what each link has running and waiting."""
        now = self._monotonic()
        workers = [worker.info(now) for worker in self._workers]
        return Workers(workers=workers, links=self._link_jobs(now), most_waiting=self._places.most)

    def notes(self, method: str, request: Message, answer: Message | None) -> dict[str, object]:
        """Return what is told of a call that somebody follows."""
        return notes(request.name, answer) if isinstance(request, Reserve | Exchange | Cancel) else {}

    async def stop(self) -> None:
        """End every exchange, and let the workers know."""
        if self._timer is not None:
            self._timer.cancel()
        self._places.dismiss("the dispatcher stops")
        for job in list(self._jobs.values()):
            self._take_away(job, "cancelled")
        await asyncio.sleep(0)  # the errands set out
        for errand in self._errands:
            errand.cancel()

    # -- carrying out
    def _begin(self, name: Name, request: Exchange, call: Call) -> Job:
        if request.worker >= len(self._workers):
            raise Refused(f"there is no worker {request.worker}")
        self._places.leave(name, "its exchange has begun")
        worker = self._workers[request.worker]
        if worker.state == "silent" and not request.arbiter:
            worker = self._places.least([one for one in self._workers if one.lives]) or worker
        peer = request.name.peer
        job = self._jobs[name] = Job(name, peer, worker, asyncio.get_running_loop().create_future())
        self._tally(peer).running += 1
        worker.begin()
        self._pace.begun(name, peer, request.bits, worker.number, self._monotonic())
        if worker.state == "silent":
            self._end(job, Exchanged(failure="worker died", again=self._another(worker)))
        else:
            job.call = asyncio.create_task(self._run(job, request, call))
            self._watch()
        return job

    async def _run(self, job: Job, request: Exchange, call: Call) -> None:
        worker, patience = job.worker, call.patience or PATIENCE
        try:
            run = Run(exchange=request, since=worker.since)  # repeated by the bus, and only meant for this process
            answer = await worker.asker.ask("run", run, patience=patience, trace=call.trace)
        except QkdbusError as error:
            worker.suspect()
            answer = Exchanged(failure=str(error))
        assert isinstance(answer, Exchanged)
        answer.again = False  # that is for this end to say
        self._end(job, answer)

    def _end(self, job: Job, answer: Exchanged) -> None:
        """An exchange is over: answer, and free its room."""
        if self._jobs.get(job.name) is not job:
            return
        del self._jobs[job.name]
        well = answer.HasField("block")
        job.worker.end(well)
        self._pace.ended(job.name, self._monotonic(), well=well)
        tally = self._tally(job.peer)
        tally.running -= 1
        tally.done += well
        tally.lost += answer.again
        job.outcome.set_result(answer)
        self._grant()

    def _take_away(self, job: Job, why: str, *, again: bool = False) -> None:
        """End an exchange that its worker has not ended: the call must not reach one that has started anew."""
        if job.call is not None:
            job.call.cancel()
        self._tell_off(job)
        self._end(job, Exchanged(failure=why, again=again))

    def _tell_off(self, job: Job) -> None:
        """Have the worker end a job that nobody waits for any more."""

        async def errand() -> None:
            with suppress(QkdbusError):  # when it is gone, so is the job
                name = JobName.FromString(job.name)
                await job.worker.asker.ask("abort", Abort(name=name), patience=ABORT_PATIENCE)

        task = asyncio.create_task(errand())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    # -- workers that are lost, and jobs that are late
    def _another(self, worker: Worker) -> bool:
        return any(other.lives for other in self._workers if other is not worker)

    def _lost(self, worker: Worker) -> None:
        """What ran on a worker is lost; what was promised there finds out when it begins."""
        again = self._places.any_lives  # that may be this very one, in another process
        for job in [job for job in self._jobs.values() if job.worker is worker]:
            self._counters["jobs_lost"] += 1
            self._take_away(job, "worker died", again=again)
        self._places.lost(worker)

    def _grant(self) -> None:
        self._places.grant()
        self._watch()

    def _watch(self) -> None:
        if self._timer is None and (self._jobs or self._places.promised):
            every = LOOK if len(self._workers) > 1 else LOOK_ALONE
            self._timer = asyncio.get_running_loop().call_later(every, self._look)

    def _look(self) -> None:
        """Take late exchanges away from their workers, where there is another; forget old reservations."""
        self._timer = None
        now = self._monotonic()
        for name in self._pace.late(now):
            job = self._jobs[name]
            if self._another(job.worker):
                job.worker.strike(now)
                self._pace.given_up(name, now)
                self._counters["jobs_slow"] += 1
                self._take_away(job, "worker is slow", again=True)
        self._places.forget_old(now)
        self._grant()
        self._watch()

    # -- reports
    def _tally(self, peer: str) -> Tally:
        return self._links.setdefault(peer, Tally())

    def _link_jobs(self, now: float) -> list[LinkJobs]:
        found = {
            peer: LinkJobs(
                peer=peer,
                running=tally.running,
                done=tally.done,
                lost=tally.lost,
                seconds=self._pace.typical(peer),
            )
            for peer, tally in self._links.items()
        }
        for ticket in self._places:
            link = found.setdefault(ticket.peer, LinkJobs(peer=ticket.peer))
            link.waiting += 1
            link.priority = max(link.priority, ticket.priority)
            link.longest = max(link.longest, now - ticket.at)
        return [found[peer] for peer in sorted(found)]
