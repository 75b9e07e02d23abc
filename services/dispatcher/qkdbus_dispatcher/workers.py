"""The qbackend workers of this node, as the dispatcher sees them: who lives, and how much each has to do.

A worker is lost, and what ran on it with it, as soon as

- its process ends (the kernel tells, at once), or another process answers in its place;
- it does not answer a ping and is stopped (SIGSTOP);
- it has not answered for DEAD seconds in which it could have: one that computes is given more time (`signs.Silence`),
  and where nobody gets to run, seconds that pass between two looks count as one look.

It is asked every BUSY seconds while it works and another could take its place, every IDLE seconds else. One that
answers again is given work again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf.message import Message

from qkdbus.errors import QkdbusError
from qkdbus.signs import Look, Silence, Unwatch, WatchDeath, blind, watch_nothing
from qkdbus.wire.dispatcher_pb2 import WorkerInfo
from qkdbus.wire.head_pb2 import Describe, Description, Health, Ping

BUSY = 0.5  # s
IDLE = 2.0
DEAD = 3.0
ROUND = 0.25  # s that an answer is waited for until somebody looks why there is none
ABSENT_ROUND = 1.0  # s, of a worker that is not there
BACK_SOON = 5.0  # s after its death in which a worker is looked for all the time: it is about to be started again
STRUCK = 30.0  # s that a worker which was too slow is asked last
CAPACITY = 64  # exchanges at once of a worker that does not say how many it likes


class Asker(Protocol):
    """What the dispatcher needs of a bus Asker."""

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        """Call a method of the worker."""


def _nobody(worker: Worker) -> None:
    pass


@dataclass(eq=False)
class Worker:
    """One worker.

    Attributes:
        number: which replica.
        endpoint: where neighbours' workers reach it (tcp).
        limit: exchanges at once that the network file allows it; 0: what it says itself, else CAPACITY.
        state: unknown (never heard), ready, waiting (up, not ready), silent (lost).
        running, reserved: exchanges under way, and promised.
        done, failed: exchanges with a block, and without.
        lost, slow: how often it was lost, and how many exchanges were taken away from it.
        given: a number that grows with every job it gets, over all workers: who had the last one.
        when_lost, when_ready: called when what ran on it is lost; when it may have room.
    """

    number: int
    endpoint: str
    asker: Asker
    limit: int = 0
    state: str = "unknown"
    running: int = 0
    reserved: int = 0
    done: int = 0
    failed: int = 0
    lost: int = 0
    slow: int = 0
    given: int = 0
    when_lost: Callable[[Worker], None] = _nobody
    when_ready: Callable[[Worker], None] = _nobody
    _told: int = 0  # capacity
    _struck_until: float = float("-inf")
    _process: tuple[int, float] | None = None
    _stir: asyncio.Event = field(default_factory=asyncio.Event)
    _hurry: bool = False

    @property
    def since(self) -> float:
        """Unix time of its start; 0 when it was never heard."""
        return self._process[1] if self._process else 0.0

    @property
    def pid(self) -> int:
        """Its process, as it says itself; 0 when it was never heard."""
        return self._process[0] if self._process else 0

    @property
    def lives(self) -> bool:
        """Whether it can be given work."""
        return self.state == "ready"

    @property
    def capacity(self) -> int:
        """Exchanges that it is given at once."""
        return self.limit or self._told or CAPACITY

    @property
    def load(self) -> int:
        """Exchanges that run, or are promised."""
        return self.running + self.reserved

    @property
    def has_room(self) -> bool:
        """Whether it can be given one more."""
        return self.lives and self.load < self.capacity

    def info(self, now: float) -> WorkerInfo:
        """Describe it."""
        return WorkerInfo(
            worker=self.number,
            state=self.state,
            running=self.running,
            done=self.done,
            failed=self.failed,
            endpoint=self.endpoint,
            capacity=self.capacity,
            reserved=self.reserved,
            lost=self.lost,
            slow=self.slow,
            last_choice=self.struck(now),
        )

    # -- its exchanges
    def begin(self) -> None:
        """Note that an exchange begins: from now on it is looked at more often."""
        self.running += 1
        if self.running == 1:
            self._stir.set()

    def end(self, well: bool) -> None:
        """Note that an exchange has ended, with a block or without."""
        self.running -= 1
        if well:
            self.done += 1
            self._struck_until = float("-inf")
        else:
            self.failed += 1

    def strike(self, now: float) -> None:
        """An exchange took too long here."""
        self.slow += 1
        self._struck_until = now + STRUCK

    def struck(self, now: float) -> bool:
        """Tell whether it was too slow of late."""
        return now < self._struck_until

    # -- its life
    def is_new(self, health: Health) -> bool:
        """Tell whether another process answers than before."""
        return self._process != (health.pid, health.since)

    def answered(self, health: Health) -> None:
        """Take note of a sign of life."""
        another = self._process is not None and self.is_new(health)
        self.lost += another and self.state != "silent"
        self._process = health.pid, health.since
        before, self.state = self.state, "ready" if health.ready else "waiting"
        if another:
            self.when_lost(self)
        if self.lives and before != "ready":
            self.when_ready(self)

    def told(self, description: Description) -> None:
        """Take note of what it says of itself."""
        said = description.gauges.get("capacity", 0.0)
        self._told = int(said) if 1 <= said < 1 << 20 else 0

    def lose(self) -> None:
        """What ran on this worker is lost."""
        if self.state in ("ready", "waiting"):
            self.lost += 1
        self.state = "unknown" if self.state == "unknown" else "silent"
        self.when_lost(self)

    def suspect(self) -> None:
        """A call to this worker has failed: look at it now."""
        self._hurry = True
        self._stir.set()

    async def pause(self, absent_for: float, *, alone: bool) -> None:
        """Wait until it is time to look at this worker again; it has been gone for so many s, 0: it is there."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not self._hurry:
            soon = ROUND / 2 if absent_for < BACK_SOON else BUSY
            every = BUSY if self.running and not alone else IDLE
            left = began + (soon if absent_for else every) - loop.time()
            if left <= 0:
                break
            self._stir.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._stir.wait()
        self._hurry = False


class Watcher:
    """Looks after all workers until it is stopped."""

    def __init__(
        self,
        workers: list[Worker],
        log: logging.Logger,
        publish: Callable[..., None],
        *,
        look: Look = blind,
        watch_death: WatchDeath = watch_nothing,
        dead: float = DEAD,
    ) -> None:
        self._workers, self._log, self._publish, self._dead = workers, log, publish, dead
        self._look, self._watch_death = look, watch_death
        self._tasks: list[asyncio.Task[None]] = []
        self._unwatch: dict[Worker, Unwatch] = {}
        self._state: dict[Worker, str] = {}

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._watch(worker)) for worker in self._workers]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for unwatch in self._unwatch.values():
            unwatch()

    async def _watch(self, worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        silent_since, silence = 0.0, Silence(self._dead)
        while True:
            asked_at = loop.time()
            there = worker.state in ("ready", "waiting")
            patience = min(ROUND, self._dead) if there else ABSENT_ROUND
            try:
                health = await worker.asker.ask("ping", Ping(), patience=patience)
                assert isinstance(health, Health)
                await self._answered(worker, health)
                silent_since, silence = 0.0, Silence(self._dead)
            except QkdbusError:
                silent_since = silent_since or asked_at
                await asyncio.sleep(asked_at + ROUND / 4 - loop.time())  # one that answers nonsense answers at once
                sign = self._look(worker.pid) if worker.pid else None
                lost = silence.too_long(min(loop.time() - asked_at, patience), sign)
                if worker.state != "silent" and lost:
                    worker.lose()
            self._tell(worker)
            if not silent_since or worker.state not in ("ready", "waiting"):
                absent_for = loop.time() - silent_since if silent_since else 0.0
                await worker.pause(absent_for, alone=len(self._workers) == 1)

    async def _answered(self, worker: Worker, health: Health) -> None:
        if worker.is_new(health) or worker.state == "silent":
            if worker.is_new(health):
                with suppress(QkdbusError):  # it need not say
                    said = await worker.asker.ask("describe", Describe(), patience=ABSENT_ROUND)
                    assert isinstance(said, Description)
                    worker.told(said)
            self._unwatch.pop(worker, lambda: None)()
            self._unwatch[worker] = self._watch_death(health.pid, lambda: self._died(worker))
        worker.answered(health)

    def _died(self, worker: Worker) -> None:
        worker.lose()
        self._tell(worker)
        worker.suspect()

    def _tell(self, worker: Worker) -> None:
        if worker.state != self._state.get(worker, "unknown"):
            self._state[worker] = worker.state
            self._log.info("worker", extra={"worker": worker.number, "state": worker.state})
            self._publish("worker", worker=worker.number, state=worker.state)
