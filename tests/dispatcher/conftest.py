"""A dispatcher with workers in memory: they live, work, die and start again as a test wants."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from qkdbus.errors import Exhausted, Silent
from qkdbus.wire.dispatcher_pb2 import Exchange, Exchanged, JobName, KeyBlock
from qkdbus.wire.head_pb2 import Health
from qkdbus.wire.qbackend_pb2 import Abort, Aborted, Run
from qkdbus_dispatcher.service import Dispatcher
from qkdbus_dispatcher.workers import Watcher, Worker


class FakeWorker:
    """An Asker and the worker behind it: a `run` ends when `release` is set."""

    def __init__(self) -> None:
        self.alive, self.full = True, False
        self.process = 1
        self.release = asyncio.Event()
        self.release.set()
        self.answer = Exchanged(block=KeyBlock(run=bytes(16), bits=b"12345678", length=64))
        self.runs: list[Exchange] = []
        self.aborts: list[JobName] = []
        self.pings = 0

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        assert patience is not None
        if method == "ping":
            self.pings += 1
        if not self.alive:
            await asyncio.sleep(patience)
            raise Silent("nobody there")
        if method == "ping":
            return Health(ready=True, pid=self.process, since=1.0)
        if isinstance(request, Abort):
            self.aborts.append(request.name)
            return Aborted()
        assert isinstance(request, Run)
        self.runs.append(request.exchange)
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
    """A dispatcher, its workers, and the events it published."""

    def __init__(self, count: int) -> None:
        self.fakes = [FakeWorker() for _ in range(count)]
        self.workers = [Worker(n, f"tcp://10.0.0.1:{9000 + n}", fake) for n, fake in enumerate(self.fakes)]
        self.now = 0.0
        self.dispatcher = Dispatcher(self.workers, lambda: self.now)
        self.events: list[dict[str, Any]] = []
        self.watcher = Watcher(
            self.workers, logging.getLogger("test"), lambda event, **fields: self.events.append(fields), dead=0.1
        )

    async def settle(self, rounds: int = 5) -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)

    async def until(self, true: Callable[[], bool], patience: float = 3.0) -> None:
        ends = time.monotonic() + patience
        while not true():
            assert time.monotonic() < ends, "it did not come about"
            await asyncio.sleep(0.005)


@pytest.fixture
async def house(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    from qkdbus_dispatcher import workers

    monkeypatch.setattr(workers, "BUSY", 0.02)
    monkeypatch.setattr(workers, "IDLE", 0.1)
    made = House(getattr(request, "param", 2))
    made.watcher.start()
    await made.settle()
    yield made
    await made.dispatcher.stop()
    await made.watcher.stop()
