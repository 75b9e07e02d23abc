"""One exchange, from the first word to the block: greet, form and sift, estimate, verify."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qkdbus.network.model import LinkSettings

from .bits import Bits, wipe
from .channel import Channel, Topic
from .distil import estimate, verify
from .emulators.port import Emulator, Role
from .failure import Broken, NoKey
from .forming import Former
from .plan import Plan
from .protocols import SameBases
from .protocols.sifting import Token
from .protocols.talk import T, Talk, drive
from .tally import Tally

REPEAT = 0.02  # s until the first words are said again, doubling up to
REPEAT_LAST = 0.5
DISCARD_WITHIN = 1.0  # s
BATCH = {"ideal": 1 << 18}  # pairs in one batch, at most
SIMULATED_BATCH = 512  # where pairs are simulated one by one: long enough to hide what a message costs
_HELLO = struct.Struct("<16s")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: `bits` of key, as the link's arbiter (and source of its pairs) or as its follower."""

    arbiter: bool
    bits: int
    protocol: SameBases
    link: LinkSettings


class Exchange:
    """One end of one exchange.

    Attributes:
        tally: counts so far.
    """

    def __init__(
        self,
        order: Order,
        channel: Channel,
        emulator: Emulator,
        token: Token,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """`token` gives random octets of the system's generator; `progress` is called when something moves."""
        self._order, self._channel, self._emulator = order, channel, emulator
        self._token, self._progress = token, progress
        self.tally = Tally(order.protocol.name, emulator.name)

    async def form(self) -> npt.NDArray[np.uint8]:
        """Return the block's octets, which both ends then hold alike: SECRET. NoKey (or the emulator's errors)."""
        order, batch = self._order, BATCH.get(self._emulator.name, SIMULATED_BATCH)
        self.tally.run = await self._greet()
        role: Role = "source" if order.arbiter else "sink"
        line = self._emulator.line(role, self._channel.job.peer, self.tally.run.hex())
        former = Former(order.protocol, self._channel, line, self.tally, self._token, self._progress)
        try:
            if order.arbiter:
                sifted = await former.as_source(Plan.of(order.bits, order.link.disclose, order.protocol.kept, batch))
            else:
                sifted = await former.as_sink()
            return await self._verify(await self._estimate(sifted))
        finally:
            with suppress(TimeoutError):  # an emulator that is gone has nothing to forget
                await asyncio.wait_for(line.discard(), DISCARD_WITHIN)

    async def _greet(self) -> bytes:
        """Return the run: a name that neither end can have made without hearing the other.

        The follower speaks first, for it knows where the arbiter's worker is. Either says its first words again
        until it is answered: a connection may not be there yet.
        """
        mine = _HELLO.pack(self._token(16)) + f"{self.tally.protocol} {self.tally.emulator}".encode()
        if self._order.arbiter:
            theirs = await self._channel.hear(Topic.HELLO)
            self._channel.tell(Topic.HELLO, mine)
            await self._until_heard(Topic.READY)
            both = mine, theirs
        else:
            self._channel.tell(Topic.HELLO, mine)
            theirs = await self._until_heard(Topic.HELLO)
            self._channel.tell(Topic.READY, b"")
            both = theirs, mine
        if len(theirs) < _HELLO.size or theirs[_HELLO.size :] != mine[_HELLO.size :]:
            raise Broken("the ends are set up differently")
        return hashlib.sha256(b"qkdbus run" + both[0][: _HELLO.size] + both[1][: _HELLO.size]).digest()[:16]

    async def _until_heard(self, topic: Topic) -> bytes:
        # A task of its own: a time-out that cancels `hear` in the turn in which a message came would lose it.
        hearing = asyncio.create_task(self._channel.hear(topic))
        pause = REPEAT
        try:
            while not (await asyncio.wait({hearing}, timeout=pause))[0]:
                self._channel.repeat()
                pause = min(2 * pause, REPEAT_LAST)
            return hearing.result()
        finally:
            hearing.cancel()

    async def _estimate(self, sifted: Bits) -> Bits:
        share = self._order.link.disclose
        source = self._order.arbiter
        talk = estimate.source(sifted, share, self._token) if source else estimate.sink(sifted, share)
        estimated = await self._distil(talk)
        wipe(sifted)
        self.tally.disclosed, self.tally.qber = estimated.disclosed, estimated.qber
        if estimated.qber > self._order.link.qber_abort:
            wipe(estimated.kept)
            raise NoKey("qber", alarm=True)
        return estimated.kept

    async def _verify(self, kept: Bits) -> npt.NDArray[np.uint8]:
        octets = np.packbits(kept, bitorder="little")
        wipe(kept)
        self.tally.verification_bits = verify.TAG_BITS
        talk = verify.source(octets, self._token) if self._order.arbiter else verify.sink(octets)
        try:
            verified = await self._distil(talk)
        except NoKey:
            wipe(octets)
            raise
        self.tally.length = 8 * len(verified.octets)
        return verified.octets

    async def _distil(self, talk: Talk[T]) -> T:
        def tell(body: bytes) -> None:
            self._channel.tell(Topic.DISTIL, body)

        self._progress()
        return await drive(talk, tell, lambda: self._channel.hear(Topic.DISTIL))
