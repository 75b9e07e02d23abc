"""A qbackend worker that forms blocks out of nothing, or keeps its caller waiting, or fails, as a check wants."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ...contracts.call import Call
from ...contracts.qbackend import CONTRACT
from ...errors import Exhausted, Refused
from ...runtime import Room
from ...wire.dispatcher_pb2 import Exchanged, JobName, KeyBlock
from ...wire.qbackend_pb2 import Abort, Aborted, Attack, Attacked, Run
from ...wire.record_pb2 import BlockRecord


class Worker:
    """Keeps the qbackend's contract towards the dispatcher.

    Attributes:
        held: runs wait until it is cleared and `release` is called, or their job is aborted.
        full: runs are refused with Exhausted.
        answer: what a run is answered with; None: a new block.
        runs, calls: all that were asked, in order. aborts: the jobs that were.
        blocks: job (serialised) -> the blocks that were formed for it.
    """

    def __init__(self, since: float) -> None:
        self._since = since
        self.held = self.full = False
        self.answer: Exchanged | None = None
        self.runs: list[Run] = []
        self.calls: list[Call] = []
        self.aborts: list[JobName] = []
        self.blocks: dict[bytes, list[KeyBlock]] = {}
        self._news = asyncio.Event()

    async def run(self, request: Run, call: Call) -> Exchanged:
        """Form a block. Refused when it was meant for the worker that was here before."""
        if request.since not in (0.0, self._since):
            raise Refused("this worker has started anew")
        self.runs.append(request)
        self.calls.append(call)
        if self.full:
            raise Exhausted("busy")
        name = request.exchange.name
        while self.held:
            await self._news.wait()
            if name in self.aborts:
                return Exchanged(failure="aborted")
        return self.answer or Exchanged(block=self._form(name, request.exchange.bits))

    def abort(self, request: Abort, call: Call) -> Aborted:
        """End a job that is kept waiting."""
        self.aborts.append(request.name)
        self._tell()
        return Aborted()

    def attack(self, request: Attack, call: Call) -> Attacked:
        """Answer that the channel is elsewhere."""
        return Attacked()

    def release(self) -> None:
        """Let all runs go on."""
        self.held = False
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _form(self, name: JobName, bits: int) -> KeyBlock:
        octets = max(1, (min(bits, 1 << 20) + 7) // 8)
        run, length = os.urandom(16), 8 * octets
        record = BlockRecord(block_id=run, created=3 * length, sifted_out=2 * length, kept=length, length=length)
        block = KeyBlock(run=run, bits=os.urandom(octets), length=length, record=record)
        self.blocks.setdefault(name.SerializeToString(deterministic=True), []).append(block)
        return block


def serve(room: Room, changed: Callable[[Worker], None] = lambda worker: None) -> Worker:
    """Put a worker up in a room of its own; `changed` may set it up before anybody can ask it."""
    worker = Worker(room.vitals.since)
    changed(worker)
    room.vitals.waiting_for = lambda: ""
    room.serve(room.settings.ipc(f"qbackend.{room.replica}"), CONTRACT, worker)
    return worker
