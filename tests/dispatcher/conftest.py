"""A dispatcher with workers in memory: they live, work, die and start again as a test wants."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from qkdbus.errors import Exhausted, Refused, Silent
from qkdbus.signs import Sign
from qkdbus.wire.dispatcher_pb2 import Exchange, Exchanged, JobName, KeyBlock
from qkdbus.wire.head_pb2 import Description, Health
from qkdbus.wire.qbackend_pb2 import Abort, Aborted, Run
from qkdbus_dispatcher.queue import JobQueue
from qkdbus_dispatcher.service import Dispatcher
from qkdbus_dispatcher.workers import Watcher, Worker

from ..jumping import JumpingLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Any]:
    """Let time jump where everything is in memory."""
    real = item.path.name == "test_sockets.py"
    return {"loop": asyncio.new_event_loop if real else JumpingLoop}


class FakeWorker:
    """An Asker and the worker behind it: a `run` ends when `release` is set."""

    def __init__(self) -> None:
        self.alive, self.full, self.capacity = True, False, 0
        self.process = 1
        self.release = asyncio.Event()
        self.release.set()
        self.answer = Exchanged(block=KeyBlock(run=bytes(16), bits=b"12345678", length=64))
        self.runs: list[Exchange] = []
        self.aborts: list[JobName] = []
        self.traces: list[bytes] = []
        self.pings = 0
        self.nonsense = False

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        assert patience is not None
        if method == "ping":
            self.pings += 1
            if self.nonsense:
                raise Refused("what?")
        if not self.alive:
            await asyncio.sleep(patience)
            raise Silent("nobody there")
        if method == "describe":
            return Description(gauges={"capacity": self.capacity} if self.capacity else {})
        if method == "ping":
            return Health(ready=True, pid=self.process, since=1.0)
        if isinstance(request, Abort):
            self.aborts.append(request.name)
            return Aborted()
        assert isinstance(request, Run)
        self.runs.append(request.exchange)
        self.traces.append(trace)
        if self.full:
            raise Exhausted("busy")
        try:
            async with asyncio.timeout(patience):
                await self.release.wait()
        except TimeoutError:
            raise Silent("no answer") from None
        return self.answer

    def restart(self) -> None:
        self.process += 1


class House:
    """A dispatcher, its workers, and the events it published.

    Attributes:
        signs: what can be seen of a process, by pid; nothing by default.
        deaths: what to call when a process dies, by pid.
    """

    def __init__(self, count: int) -> None:
        self.fakes = [FakeWorker() for _ in range(count)]
        for number, fake in enumerate(self.fakes):
            fake.process = 100 * (number + 1)
        self.workers = [Worker(n, f"tcp://10.0.0.1:{9000 + n}", fake) for n, fake in enumerate(self.fakes)]
        self.now = 0.0
        self.counters: Counter[str] = Counter()
        self.queue = JobQueue(most=6)
        self.dispatcher = Dispatcher(self.workers, self.time, queue=self.queue, counters=self.counters)
        self.events: list[dict[str, Any]] = []
        self.signs: dict[int, Sign] = {}
        self.deaths: dict[int, Callable[[], None]] = {}
        self.watcher = Watcher(
            self.workers,
            logging.getLogger("test"),
            lambda event, **fields: self.events.append(fields),
            look=self.signs.get,
            watch_death=self.watch_death,
        )

    def time(self) -> float:
        return self.now + asyncio.get_running_loop().time()

    def watch_death(self, pid: int, died: Callable[[], None]) -> Callable[[], None]:
        self.deaths[pid] = died
        return lambda: None

    def kill(self, number: int) -> None:
        """As kill -9 does: nobody answers, and the kernel tells."""
        self.fakes[number].alive = False
        self.deaths.pop(self.fakes[number].process)()

    async def settle(self, rounds: int = 5) -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)

    async def until(self, true: Callable[[], bool], patience: float = 30.0) -> None:
        ends = time.monotonic() + patience  # of real time
        while not true():
            assert time.monotonic() < ends, "it did not come about"
            await asyncio.sleep(0.005)


@pytest.fixture
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    made = House(getattr(request, "param", 2))
    made.watcher.start()
    await made.until(lambda: all(worker.lives for worker in made.workers))
    yield made
    await made.dispatcher.stop()
    await made.watcher.stop()
