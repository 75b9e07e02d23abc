"""Forming sifted bits: several batches in flight, so that the emulator is never idle while one is sifted.

The source decides how many pairs there are; the sink takes what arrives until it is told how many batches that was.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from .bits import Bits, wipe
from .channel import Channel, Topic
from .emulators.port import Line, Pairs
from .failure import Broken
from .plan import Plan
from .protocols import SameBases, Sifted
from .protocols.sifting import Token
from .protocols.talk import Talk, drive
from .tally import Tally

WINDOW = 4  # batches in flight
_ENOUGH = struct.Struct("<QQ")  # batches, pairs


class Former:
    """One end of the pairs of one exchange."""

    def __init__(
        self,
        protocol: SameBases,
        channel: Channel,
        line: Line,
        tally: Tally,
        token: Token,
        progress: Callable[[], None],
    ) -> None:
        self._protocol, self._channel, self._line = protocol, channel, line
        self._tally, self._token, self._progress = tally, token, progress
        self._batches: list[Sifted] = []

    async def as_source(self, plan: Plan) -> Bits:
        """Make pairs until `plan` has enough; return the sifted bits."""
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
        finally:
            await _cancel(*running)
        self._channel.tell(Topic.ENOUGH, _ENOUGH.pack(len(self._batches), self._tally.created))
        return self._join()

    async def as_sink(self) -> Bits:
        """Take batches until the source says how many there are; return the sifted bits."""
        enough = asyncio.create_task(self._channel.hear(Topic.ENOUGH))
        arriving = asyncio.create_task(self._line.await_pairs())
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
                    arriving = asyncio.create_task(self._line.await_pairs())
                for task in running & ended:
                    running.discard(task)
                    self._add(task.result())
        finally:
            await _cancel(enough, arriving, *running)
        if (len(self._batches), self._tally.created) != self._said(enough.result()):
            raise Broken("the ends count different pairs")
        return self._join()

    async def _make(self, count: int) -> Sifted:
        pairs = await self._line.create_pairs(count)
        self._progress()
        return await self._talk(pairs, self._protocol.source(pairs, self._token))

    async def _take(self, pairs: Pairs) -> Sifted:
        self._progress()
        return await self._talk(pairs, self._protocol.sink(pairs, self._token))

    async def _talk(self, pairs: Pairs, talk: Talk[Sifted]) -> Sifted:
        def tell(body: bytes) -> None:
            self._channel.tell(Topic.BATCH, body, pairs.batch)

        def hear() -> Awaitable[bytes]:
            return self._channel.hear(Topic.BATCH, pairs.batch)

        return await drive(talk, tell, hear, self._line.measure)

    def _add(self, sifted: Sifted) -> None:
        self._progress()
        self._batches.append(sifted)
        self._tally.created += sifted.created
        self._tally.sifted += len(sifted.bits)

    def _join(self) -> Bits:
        """Put the batches in their order, which is the same at both ends, and wipe the parts."""
        self._batches.sort(key=lambda sifted: sifted.batch)
        bits = np.concatenate([sifted.bits for sifted in self._batches])
        wipe(*(sifted.bits for sifted in self._batches))
        return bits

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
