"""Forming sifted bits: several batches in flight, so that the emulator is never idle while one is sifted.

The source decides how many pairs or pulses there are; the sink takes what arrives until it is told how many batches
that was.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .bits import Bits, wipe
from .channel import Channel, Topic
from .emulators.port import Line, Pairs, PulseLine, Pulses
from .failure import Broken
from .plan import Plan
from .protocols import Evidence, PairProtocol, PulseProtocol, Sifted
from .protocols.sifting import Token
from .protocols.talk import Talk, drive
from .tally import Tally

WINDOW = 4  # batches in flight
_ENOUGH = struct.Struct("<QQ")  # batches, pairs or pulses detected
Batch = Pairs | Pulses


@dataclass(slots=True)
class Harvest:
    """What all batches of an exchange gave.

    Attributes:
        bits: shape (sifted,), SECRET.
        marks: class of each, shape (sifted,), where the protocol has classes.
        evidence: what sifting learnt in public.
    """

    bits: Bits = field(repr=False)
    marks: npt.NDArray[np.uint8] | None = field(repr=False)
    evidence: Evidence | None


class Former:
    """One end of the pairs or pulses of one exchange."""

    def __init__(
        self,
        protocol: PairProtocol | PulseProtocol,
        channel: Channel,
        line: Line | PulseLine,
        tally: Tally,
        token: Token,
        progress: Callable[[], None],
    ) -> None:
        self._protocol, self._channel, self._line = protocol, channel, line
        self._tally, self._token, self._progress = tally, token, progress
        self._batches: list[Sifted] = []

    async def as_source(self, plan: Plan) -> Harvest:
        """Make pairs or pulses until `plan` has enough of them. NoKey when the plan sees no hope."""
        running: dict[asyncio.Task[Sifted], int] = {}
        try:
            while True:
                while len(running) < WINDOW:
                    count = plan.next_batch(self._tally.sifted, sum(running.values()))
                    if not count:
                        break
                    running[asyncio.create_task(self._make(count))] = count
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    self._add(task.result())
                plan.look(self._tally)
        finally:
            await _cancel(*running)
        self._channel.tell(Topic.ENOUGH, _ENOUGH.pack(len(self._batches), self._tally.created))
        return self._gather()

    async def as_sink(self) -> Harvest:
        """Take batches until the source says how many there are."""
        enough = asyncio.create_task(self._channel.hear(Topic.ENOUGH))
        arriving = asyncio.create_task(self._arrival())
        running: set[asyncio.Task[Sifted]] = set()
        try:
            while not (enough.done() and len(self._batches) >= self._said(enough.result())[0]):
                awaited: set[asyncio.Task[Any]] = {arriving, *running}
                if not enough.done():
                    awaited.add(enough)
                ended, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                if enough in ended:
                    self._said(enough.result())
                if arriving in ended:
                    running.add(asyncio.create_task(self._take(arriving.result())))
                    arriving = asyncio.create_task(self._arrival())
                for task in running & ended:
                    running.discard(task)
                    self._add(task.result())
        finally:
            await _cancel(enough, arriving, *running)
        if (len(self._batches), self._tally.created) != self._said(enough.result()):
            raise Broken("the ends count different pairs")
        return self._gather()

    async def _make(self, count: int) -> Sifted:
        batch: Batch
        if self._protocol.signal == "pulses":
            batch = await cast(PulseLine, self._line).send_pulses(count)
        else:
            batch = await cast(Line, self._line).create_pairs(count)
        self._progress()
        return await self._talk(batch, self._protocol.source)

    async def _arrival(self) -> Batch:
        if self._protocol.signal == "pulses":
            return await cast(PulseLine, self._line).await_pulses()
        return await cast(Line, self._line).await_pairs()

    async def _take(self, batch: Batch) -> Sifted:
        self._progress()
        return await self._talk(batch, self._protocol.sink)

    async def _talk(self, batch: Batch, talk: Callable[[Any, Token], Talk[Sifted]]) -> Sifted:
        def tell(body: bytes) -> None:
            self._channel.tell(Topic.BATCH, body, batch.batch)

        def hear() -> Awaitable[bytes]:
            return self._channel.hear(Topic.BATCH, batch.batch)

        return await drive(talk(batch, self._token), tell, hear, self._line)

    def _add(self, sifted: Sifted) -> None:
        self._progress()
        self._batches.append(sifted)
        tally = self._tally
        tally.sent += sifted.sent
        tally.created += sifted.created
        tally.sifted += len(sifted.bits)
        tally.disclosed += sifted.disclosed

    def _gather(self) -> Harvest:
        """Put the batches in their order, which is the same at both ends, and wipe the parts."""
        self._batches.sort(key=lambda sifted: sifted.batch)
        bits = np.concatenate([sifted.bits for sifted in self._batches])
        wipe(*(sifted.bits for sifted in self._batches))
        marks = [sifted.marks for sifted in self._batches if sifted.marks is not None]
        evidence: list[Any] = [sifted.evidence for sifted in self._batches if sifted.evidence is not None]
        return Harvest(
            bits,
            np.concatenate(marks) if marks else None,
            functools.reduce(operator.add, evidence) if evidence else None,
        )

    @staticmethod
    def _said(body: bytes) -> tuple[int, int]:
        if len(body) != _ENOUGH.size:
            raise Broken("no count of batches")
        batches, pairs = _ENOUGH.unpack(body)
        if not batches:
            raise Broken("an exchange without pairs")
        return batches, pairs


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
