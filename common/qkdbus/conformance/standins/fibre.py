"""Dispatchers of two nodes, joined: both exchanges of a job get the same block, or none, as a check wants."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

from ...contracts.call import Call
from ...contracts.dispatcher import CONTRACT
from ...errors import Unavailable
from ...runtime import Room
from ...wire.dispatcher_pb2 import (
    Cancel,
    Cancelled,
    Exchange,
    Exchanged,
    KeyBlock,
    ListWorkers,
    Reserve,
    Reserved,
    WorkerInfo,
    Workers,
)
from ...wire.record_pb2 import BlockRecord

Job = tuple[int, int, int]  # epoch number, its random part, job
WORKER = "tcp://127.0.0.1:9"  # where the worker of either end would wait


@dataclass
class Fibre:
    """What the two ends' exchanges come to.

    Attributes:
        alarm: no key, with an alarm, at both ends.
        apart: both ends get blocks, of different exchanges (other run, other bits).
        cut: no exchange can be held at all.
        shorten: key bits that a block falls short of what was asked (so that lengths are odd).
        asked: every exchange that was asked for, by node.
        of_no_use: the blocks of different exchanges, which must never become key. SECRET as any other.
    """

    alarm: bool = False
    apart: bool = False
    cut: bool = False
    shorten: int = 0
    of_no_use: list[bytes] = field(default_factory=list, repr=False)
    asked: dict[str, list[Exchange]] = field(default_factory=dict)
    _waiting: dict[Job, asyncio.Future[Exchanged]] = field(default_factory=dict)

    def calm(self) -> None:
        """Let every exchange come to its block."""
        self.alarm = self.apart = self.cut = False
        self.shorten = 0

    async def hold(self, node: str, request: Exchange) -> Exchanged:
        """Wait for the other end of this job. Unavailable when the fibre is cut."""
        self.asked.setdefault(node, []).append(request)
        if self.cut:
            raise Unavailable("no light")
        job = request.name.epoch_n, request.name.epoch_r, request.name.job
        other = self._waiting.pop(job, None)
        if other is None or other.done():
            mine: asyncio.Future[Exchanged] = asyncio.get_running_loop().create_future()
            self._waiting[job] = mine
            return await mine
        ours, theirs = self._outcome(request.bits)
        other.set_result(theirs)
        return ours

    def cancel(self, job: Job) -> None:
        """End what waits for a job's other end."""
        waiting = self._waiting.pop(job, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(Exchanged(failure="cancelled"))

    def _outcome(self, bits: int) -> tuple[Exchanged, Exchanged]:
        if self.alarm:
            record = BlockRecord(qber=0.25, disclosed=10)
            answer = Exchanged(failure="QBER 0.25", alarm=True, record=record)
            return answer, answer
        length = max(1, bits - self.shorten)
        block = _block(length)
        if not self.apart:
            return block, block
        other = _block(length)
        self.of_no_use += [block.block.bits, other.block.bits]
        return block, other


def _block(length: int) -> Exchanged:
    value = int.from_bytes(os.urandom((length + 7) // 8), "little") % (1 << length)
    run = os.urandom(16)
    record = BlockRecord(block_id=run, created=3 * length, disclosed=1, kept=length, length=length)
    bits = value.to_bytes((length + 7) // 8, "little")
    return Exchanged(block=KeyBlock(run=run, bits=bits, length=length, record=record))


class Dispatcher:
    """One end's dispatcher: keeps the contract, with one worker on the fibre."""

    def __init__(self, fibre: Fibre, node: str) -> None:
        self._fibre, self._node = fibre, node

    def reserve(self, request: Reserve, call: Call) -> Reserved:
        """Give the one worker there is."""
        return Reserved(worker=0, endpoint=WORKER)

    async def exchange(self, request: Exchange, call: Call) -> Exchanged:
        """Hold the exchange."""
        return await self._fibre.hold(self._node, request)

    def cancel(self, request: Cancel, call: Call) -> Cancelled:
        """End it."""
        self._fibre.cancel((request.name.epoch_n, request.name.epoch_r, request.name.job))
        return Cancelled()

    def list_workers(self, request: ListWorkers, call: Call) -> Workers:
        """Name the one worker."""
        return Workers(workers=[WorkerInfo(worker=0, state="ready", endpoint=WORKER)])


def serve(room: Room, fibre: Fibre) -> None:
    """Put a dispatcher up in a room of its own."""
    room.serve(room.settings.ipc("dispatcher"), CONTRACT, Dispatcher(fibre, room.settings.name))
