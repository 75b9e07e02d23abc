"""Room at the workers: which jobs wait for it, which have been promised some, and who gets it next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence

from qkdbus.errors import Exhausted, QkdbusError, Refused, Unavailable
from qkdbus.wire.dispatcher_pb2 import JobName, Reserve, Reserved

from .queue import JobQueue, Ticket
from .workers import Worker

HELD = 10.0  # s that a reservation counts as load without its exchange
Name = bytes  # a JobName, serialised


class Places:
    """Jobs from `reserve` until their exchange begins."""

    def __init__(
        self, workers: Sequence[Worker], queue: JobQueue, counters: Counter[str], monotonic: Callable[[], float]
    ) -> None:
        self._workers, self._queue, self._counters, self._monotonic = workers, queue, counters, monotonic
        self._waiting: dict[Name, asyncio.Future[Reserved]] = {}
        self._reserved: dict[Name, tuple[Worker, float]] = {}
        self._given = 0

    @property
    def promised(self) -> int:
        """Jobs that have room, and have not begun."""
        return len(self._reserved)

    @property
    def any_lives(self) -> bool:
        """Whether a worker can be given work."""
        return any(worker.lives for worker in self._workers)

    @property
    def most(self) -> int:
        """Jobs that may wait."""
        return self._queue.most

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Ticket]:
        """Return all that wait, in the order of their arrival."""
        return iter(self._queue)

    def reserve(self, request: Reserve, patience: float) -> Reserved | Awaitable[Reserved]:
        """Choose a worker with room, now or when the job's turn has come; the same again when asked again.

        Unavailable when no worker lives, Exhausted when too many jobs wait, or none of this one's turns came in time.
        """
        name = name_of(request.name)
        held = self._reserved.get(name)
        if held is not None and held[0].lives:
            return _reserved(held[0])
        if name not in self._waiting:
            self.release(name)
            if not self.any_lives:
                raise Unavailable("no qbackend worker answers")
            self._enter(name, request)
            self.grant()
        place = self._waiting.get(name)
        if place is None:
            return _reserved(self._reserved[name][0])
        return self._turn(name, place, patience)

    def grant(self) -> None:
        """Give the room that there is to those whose turn it is."""
        while len(self._queue):
            worker = self.least([worker for worker in self._workers if worker.has_room])
            if worker is None:
                return
            ticket = self._queue.pop()
            assert ticket is not None
            worker.reserved += 1
            self._reserved[ticket.name] = worker, self._monotonic()
            place = self._waiting.pop(ticket.name)
            if not place.done():
                place.set_result(_reserved(worker))

    def least(self, workers: Sequence[Worker]) -> Worker | None:
        """Choose who has the least to do; the one that got nothing for longest. A slow one only where no other is."""
        if not workers:
            return None
        now = self._monotonic()
        found = min(workers, key=lambda w: (w.struck(now), w.load / w.capacity, w.given, w.number))
        self._given += 1
        found.given = self._given
        return found

    def leave(self, name: Name, why: str) -> None:
        """Forget a job that waits, or has been promised room; who waits for its turn is refused."""
        self._give_up(name, Refused(why))
        self.release(name)

    def release(self, name: Name) -> None:
        """Free what a job has been promised."""
        held = self._reserved.pop(name, None)
        if held is not None:
            held[0].reserved -= 1

    def forget_old(self, now: float) -> None:
        """Free what was promised to jobs that did not begin."""
        for name in [name for name, (_, at) in self._reserved.items() if now - at >= HELD]:
            self.release(name)

    def lost(self, worker: Worker) -> None:
        """Free what a worker that has died had promised. When none is left, nobody waits any longer."""
        for name in [name for name, (held, _) in self._reserved.items() if held is worker]:
            self.release(name)
        if not self.any_lives:
            self.dismiss("no qbackend worker answers")

    def dismiss(self, why: str) -> None:
        """Tell all who wait that there is no room for now."""
        for name in list(self._waiting):
            self._give_up(name, Unavailable(why))

    def _enter(self, name: Name, request: Reserve) -> None:
        ticket = Ticket(name, request.name.peer, request.bits, request.priority, self._monotonic())
        gone = self._queue.put(ticket)
        if gone is ticket:
            self._counters["jobs_turned_away"] += 1
            raise Exhausted(f"{len(self._queue)} jobs wait for a worker")
        self._waiting[name] = asyncio.get_running_loop().create_future()
        if gone is not None:
            self._counters["jobs_turned_away"] += 1
            self._give_up(gone.name, Exhausted("more urgent jobs wait for a worker"))

    async def _turn(self, name: Name, place: asyncio.Future[Reserved], patience: float) -> Reserved:
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(place)
        except TimeoutError:
            self._give_up(name, Exhausted("no worker had room in time"))
            raise Exhausted(f"no worker had room within {patience:g} s") from None

    def _give_up(self, name: Name, why: QkdbusError) -> None:
        self._queue.drop(name)
        place = self._waiting.pop(name, None)
        if place is not None and not place.done():
            place.set_exception(why)
            place.exception()  # nobody may be left who waits for it


def name_of(name: JobName) -> Name:
    """Return a job's name as a key."""
    return name.SerializeToString(deterministic=True)


def _reserved(worker: Worker) -> Reserved:
    return Reserved(worker=worker.number, endpoint=worker.endpoint)
