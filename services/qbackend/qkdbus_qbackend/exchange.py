"""One exchange, from the first word to the block: greet, form and sift, distil."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from qkdbus.physics.expected import expected

from .channel import Channel, Topic
from .distil.authenticate import Transcript
from .distilling import Distiller, Means
from .emulators.port import Emulator, Line, PulseLine, Role
from .failure import Broken, NoKey
from .forming import Former, Harvest
from .order import Order
from .plan import Plan, sifted_for
from .protocols import fits
from .tally import Tally

REPEAT = 0.02  # s until the first words are said again, doubling up to
REPEAT_LAST = 0.5
DISCARD_WITHIN = 1.0  # s
BATCH = {"ideal": 1 << 18, "photonic": 1 << 20}  # pairs or detections in one batch, at most
SIMULATED_BATCH = 512  # where pairs are simulated one by one: long enough to hide what a message costs
_HELLO = struct.Struct("<16s")


class Exchange:
    """One end of one exchange.

    Attributes:
        tally: counts so far.
    """

    def __init__(
        self, order: Order, channel: Channel, emulator: Emulator, means: Means, transcript: Transcript
    ) -> None:
        """`transcript` follows the channel from its first word on."""
        self._order, self._channel, self._emulator, self._means = order, channel, emulator, means
        self._transcript = transcript
        self.tally = Tally(order.protocol.name, emulator.name, speed=order.link.photonic.speed if order.setup else 0.0)

    async def form(self) -> npt.NDArray[np.uint8]:
        """Return the block's octets, which both ends then hold alike: SECRET. NoKey (or the emulator's errors)."""
        tally = self.tally
        tally.run = await self._greet()
        line = self._line()
        try:
            with tally.stage("forming", self._means.monotonic):
                harvest = await self._form(line)
            return await Distiller(self._order, self._channel, self._transcript, tally, self._means).distil(harvest)
        finally:
            tally.link_time = self._emulator.link_time()
            with suppress(TimeoutError):  # an emulator that is gone has nothing to forget
                await asyncio.wait_for(line.discard(), DISCARD_WITHIN)

    def _line(self) -> Line | PulseLine:
        protocol, emulator = self._order.protocol, self._emulator
        pulses = self._order.setup is not None and protocol.signal == "pulses"
        unfit = fits(protocol, emulator.name, emulator.bases, pulses)
        if unfit:
            raise NoKey(unfit)
        role: Role = "source" if self._order.arbiter else "sink"
        opened = emulator.pulse_line if pulses else emulator.line
        return opened(role, self._channel.job.peer, self.tally.run.hex())

    async def _form(self, line: Line | PulseLine) -> Harvest:
        means = self._means
        former = Former(self._order.protocol, self._channel, line, self.tally, means.token, means.progress)
        return await (former.as_source(self._plan()) if self._order.arbiter else former.as_sink())

    def _plan(self) -> Plan:
        order, largest = self._order, BATCH.get(self._emulator.name, SIMULATED_BATCH)
        kept = order.protocol.kept
        if order.setup is None:
            needed = sifted_for(order.bits, order.link.disclose, order.expected_qber, order.protocol.name)
            return Plan.of(needed, kept, largest)
        promised = expected(order.setup, order.protocol.name)
        needed = order.link.photonic.block_bits(order.protocol.name)
        return Plan.of(needed, kept, largest, promised.detected_hz / promised.sent_hz)

    async def _greet(self) -> bytes:
        """Return the run: a name that neither end can have made without hearing the other.

        The follower speaks first, for it knows where the arbiter's worker is. Either says its first words again
        until it is answered: a connection may not be there yet.
        """
        mine = _HELLO.pack(self._means.token(16)) + f"{self.tally.protocol} {self.tally.emulator}".encode()
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
