"""The qbackend workers of this node, as the dispatcher sees them: who lives, and how much each has to do.

A worker is asked for its health every BUSY seconds while it works or is not known to live, every IDLE seconds else.
It is given up when it has not answered for DEAD seconds, or answers as another process than before: what ran on it
is lost then, and whoever waits for it hears so at once.
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
from qkdbus.wire.dispatcher_pb2 import WorkerInfo
from qkdbus.wire.head_pb2 import Health, Ping

BUSY = 1.0  # s
IDLE = 2.0
DEAD = 3.0


class Asker(Protocol):
    """What the dispatcher needs of a bus Asker."""

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        """Call a method of the worker."""


@dataclass(eq=False)
class Worker:
    """One worker.

    Attributes:
        number: which replica.
        endpoint: where neighbours' workers reach it (tcp).
        state: unknown (never heard), ready, waiting (up, not ready), silent (gone).
        running, done, failed: exchanges.
    """

    number: int
    endpoint: str
    asker: Asker
    state: str = "unknown"
    running: int = 0
    done: int = 0
    failed: int = 0
    _process: tuple[int, float] | None = None
    _lost: asyncio.Event = field(default_factory=asyncio.Event)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def since(self) -> float:
        """Unix time of its start; 0 when it was never heard."""
        return self._process[1] if self._process else 0.0

    @property
    def lives(self) -> bool:
        """Whether it can be given work."""
        return self.state == "ready"

    def info(self) -> WorkerInfo:
        """Describe it."""
        return WorkerInfo(
            worker=self.number,
            state=self.state,
            running=self.running,
            done=self.done,
            failed=self.failed,
            endpoint=self.endpoint,
        )

    def begin(self) -> asyncio.Event:
        """Note that an exchange begins; return what is set when the worker is lost."""
        self.running += 1
        return self._lost

    def end(self, well: bool) -> None:
        """Note that an exchange has ended, with a block or without."""
        self.running -= 1
        if well:
            self.done += 1
        else:
            self.failed += 1

    def answered(self, health: Health) -> None:
        """Take note of a sign of life."""
        process = health.pid, health.since
        if self._process not in (None, process):
            self.lose()
        self._process = process
        self.state = "ready" if health.ready else "waiting"

    def lose(self) -> None:
        """What ran on this worker is lost."""
        self._lost.set()
        self._lost = asyncio.Event()

    def suspect(self) -> None:
        """A call to this worker has failed: look at it now."""
        self._hurry.set()

    async def pause(self) -> None:
        """Wait until it is time to look at this worker again."""
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(BUSY if self.running or not self.lives else IDLE):
                await self._hurry.wait()


class Watcher:
    """Looks after all workers until it is stopped."""

    def __init__(
        self, workers: list[Worker], log: logging.Logger, publish: Callable[..., None], dead: float = DEAD
    ) -> None:
        self._workers, self._log, self._publish, self._dead = workers, log, publish, dead
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._watch(worker)) for worker in self._workers]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, worker: Worker) -> None:
        while True:
            before = worker.state
            try:
                health = await worker.asker.ask("ping", Ping(), patience=self._dead)
                assert isinstance(health, Health)
                worker.answered(health)
            except QkdbusError:
                worker.state = "unknown" if before == "unknown" else "silent"
                worker.lose()
            if worker.state != before:
                self._log.info("worker", extra={"worker": worker.number, "state": worker.state})
                self._publish("worker", worker=worker.number, state=worker.state)
            await worker.pause()
