"""Run this end's exchanges: reserve a worker, have it form a block, report what came of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from google.protobuf.message import Message

from qkdbus.errors import QkdbusError
from qkdbus.wire.dispatcher_pb2 import Cancel, Exchange, Exchanged, JobName, Reserve, Reserved

from .effects import JobKey, RunJob

RESERVE_PATIENCE = 5.0
CANCEL_PATIENCE = 2.0


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


class JobRunner:
    """Exchanges of one link, each a task. A task that is stopped reports nothing."""

    def __init__(self, dispatcher: Asks, peer: str, reports: Reports, log: logging.Logger, *, arbiter: bool) -> None:
        self._dispatcher, self._peer, self._reports, self._log = dispatcher, peer, reports, log
        self._arbiter = arbiter
        self._tasks: dict[JobKey, asyncio.Task[None]] = {}
        self._cancelling: set[asyncio.Task[None]] = set()

    def start(self, run: RunJob, patience: float) -> None:
        """Begin an exchange, of at most `patience` s."""
        self._tasks[run.key] = asyncio.create_task(self._run(run, patience))

    def stop(self, key: JobKey) -> None:
        """End an exchange, here and at the dispatcher; its block, if any, is wiped there."""
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
            cancelling = asyncio.create_task(self._cancel(key))
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
        if self._tasks.pop(run.key, None) is not None and answer is not None:
            self._reports.exchanged(run.key, answer)

    async def _exchange(self, run: RunJob, patience: float) -> Exchanged | None:
        name = self._name(run.key)
        reserved = await self._dispatcher.ask("reserve", Reserve(name=name), patience=RESERVE_PATIENCE)
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
        )
        answer = await self._dispatcher.ask("exchange", asked, patience=patience)
        assert isinstance(answer, Exchanged)
        return answer

    async def _cancel(self, key: JobKey) -> None:
        try:
            await self._dispatcher.ask("cancel", Cancel(name=self._name(key)), patience=CANCEL_PATIENCE)
        except QkdbusError as error:
            self._log.info("cancel_failed", extra={"job": key.job, "kind": type(error).__name__})

    def _name(self, key: JobKey) -> JobName:
        return JobName(peer=self._peer, epoch_n=key.epoch.n, epoch_r=key.epoch.r, job=key.job)
