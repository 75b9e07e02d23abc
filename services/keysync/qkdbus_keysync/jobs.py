"""Run this end's exchanges: reserve a worker, have it form a block, report what came of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from google.protobuf.message import Message

from qkdbus.errors import QkdbusError
from qkdbus.wire.dispatcher_pb2 import Cancel, Exchange, Exchanged, JobName, Reserve, Reserved

from .effects import JobKey, RunJob

CANCEL_PATIENCE = 2.0
LAST_WORDS = 1.0  # s that an exchange has to say what it saw, when it is the other end that has given up


class Asks(Protocol):
    """The dispatcher of this node, as `qkdbus.bus.asker.Asker` asks it."""

    async def ask(self, method: str, request: Message, *, patience: float | None = None) -> Message:
        """Return the answer; raises qkdbus.errors."""


class Reports(Protocol):
    """Whoever wants to know what became of a job."""

    def reserved(self, key: JobKey, endpoint: str) -> bool:
        """A worker waits at `endpoint`; return whether the job still lives."""

    def exchanged(self, key: JobKey, answer: Exchanged) -> None:
        """The exchange has ended, with a block or without."""

    def failed(self, key: JobKey, reason: str) -> None:
        """The exchange could not be held."""

    def measured(self, answer: Exchanged) -> None:
        """What an exchange without a key has counted, although its job was stopped a moment ago."""


class JobRunner:
    """Exchanges of one link, each a task. A task that is stopped reports nothing."""

    def __init__(self, dispatcher: Asks, peer: str, reports: Reports, log: logging.Logger, *, arbiter: bool) -> None:
        self._dispatcher, self._peer, self._reports, self._log = dispatcher, peer, reports, log
        self._arbiter = arbiter
        self._tasks: dict[JobKey, asyncio.Task[None]] = {}
        self._cancelling: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Exchanges under way."""
        return len(self._tasks)

    def start(self, run: RunJob, patience: float) -> None:
        """Begin an exchange, of at most `patience` s."""
        self._tasks[run.key] = asyncio.create_task(self._run(run, patience))

    def stop(self, key: JobKey, *, at_once: bool = True) -> None:
        """End an exchange, here and at the dispatcher; its block, if any, is wiped there.

        Not `at_once`: the other end has given up, and this end's worker, which hears so too, may say what it saw.
        """
        task = self._tasks.pop(key, None)
        if task is not None:
            cancelling = asyncio.create_task(self._cancel(key, task, 0.0 if at_once else LAST_WORDS))
            self._cancelling.add(cancelling)
            cancelling.add_done_callback(self._cancelling.discard)

    async def close(self) -> None:
        """End all exchanges."""
        for key in list(self._tasks):
            self.stop(key)
        if self._cancelling:
            await asyncio.wait(set(self._cancelling), timeout=0.5)

    async def _run(self, run: RunJob, patience: float) -> None:
        try:
            answer = await self._exchange(run, patience)
        except QkdbusError as error:
            self._log.warning("exchange_failed", extra={"job": run.key.job, "kind": type(error).__name__})
            if self._tasks.pop(run.key, None) is not None:
                self._reports.failed(run.key, type(error).__name__)
            return
        if answer is None:
            self._tasks.pop(run.key, None)
        elif self._tasks.pop(run.key, None) is not None:
            self._reports.exchanged(run.key, answer)
        elif not answer.HasField("block"):
            self._reports.measured(answer)

    async def _exchange(self, run: RunJob, patience: float) -> Exchanged | None:
        name = self._name(run.key)
        wanted = Reserve(name=name, priority=run.priority, bits=run.bits)
        reserved = await self._dispatcher.ask("reserve", wanted, patience=patience)  # it may have to wait its turn
        assert isinstance(reserved, Reserved)
        if not self._reports.reserved(run.key, reserved.endpoint):
            return None
        asked = Exchange(
            name=name,
            arbiter=self._arbiter,
            bits=run.bits,
            protocol=run.protocol,
            endpoint=run.endpoint,
            worker=reserved.worker,
            priority=run.priority,
        )
        answer = await self._dispatcher.ask("exchange", asked, patience=patience)
        assert isinstance(answer, Exchanged)
        return answer

    async def _cancel(self, key: JobKey, task: asyncio.Task[None], after: float) -> None:
        if after:
            await asyncio.wait({task}, timeout=after)
        task.cancel()
        try:
            await self._dispatcher.ask("cancel", Cancel(name=self._name(key)), patience=CANCEL_PATIENCE)
        except QkdbusError as error:
            self._log.info("cancel_failed", extra={"job": key.job, "kind": type(error).__name__})

    def _name(self, key: JobKey) -> JobName:
        return JobName(peer=self._peer, epoch_n=key.epoch.n, epoch_r=key.epoch.r, job=key.job)
