"""The links of a SimulaQron node as channels: the engine of their pairs, their noise, and who sits in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from qkdbus.errors import Refused, Unavailable
from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper

from ...eve import NOBODY, NOTHING_ARRIVES
from . import library
from .registers import Pauli, Tap

LARGEST_BATCH, SLOW_BATCH = 16_384, 64  # pairs, on a fast engine and on one that takes milliseconds for each
PAULI_CODES, ALL_CODES = 2, 4  # the largest basis code that an engine can measure in
_HER_BASES = (0.0, 45.0)


@dataclass(slots=True)
class Channel:
    """The link to one neighbour.

    Attributes:
        engine: SimulaQron's, for its pairs.
        noise: what disturbs the travelling halves.
        fault: why no pairs can be made on it.
        eve: tells who is in it now.
        queue: of those who work on its pairs.
    """

    engine: str = "stabilizer"
    noise: Pauli = field(default_factory=Pauli)
    fault: str = ""
    eve: Callable[[], Eavesdropper] = lambda: NOBODY
    queue: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def slow(self) -> bool:
        """Whether its engine takes milliseconds for each qubit."""
        return self.engine != "stabilizer"

    def turn(self) -> AbstractAsyncContextManager[object]:
        """Wait until it is one's turn to work on pairs.

        On a slow engine one after the other: of many that go on at once none would be through in time.
        """
        return self.queue if self.slow else nullcontext()

    @property
    def most(self) -> int:
        """Pairs in one batch at most: what waits its turn shall not wait long."""
        return SLOW_BATCH if self.slow else LARGEST_BATCH

    def tap(self) -> Tap:
        """Return what is done to the next batch's travelling halves. Unavailable when nothing passes."""
        if self.fault:
            raise Unavailable(self.fault)
        eve = self.eve()
        if eve.cut:
            raise Unavailable(NOTHING_ARRIVES)
        return Tap(eve.intercept_resend, eve.bases or _HER_BASES, eve.jam)

    def check(self, bases: bytes, count: int) -> None:
        """Refused when `bases` are not `count` codes of bases in which the engine can measure."""
        highest = PAULI_CODES if self.engine == "stabilizer" else ALL_CODES
        if len(bases) != count or max(bases, default=0) > ALL_CODES:
            raise Refused(f"{count} bases, each a code from 0 to {highest}, are wanted")
        if max(bases) > highest:
            raise Refused(
                "SimulaQron's stabilizer engine measures in Z, X and Y (codes 0, 1, 2), not at 22.5 or 67.5 degrees: "
                "choose `engine: qutip` or `engine: projectq` for this link"
            )


def channel_of(link: LinkSettings, eve: Callable[[], Eavesdropper]) -> Channel:
    """Return the channel of a link, with the first engine that is installed of those that can do its protocol."""
    engines = link.engines()
    channel = Channel(engines[0], Pauli(link.noise.x, link.noise.y, link.noise.z), eve=eve)
    try:
        channel.engine = library.choose(engines)
    except Refused as error:
        # the other links go on; `ping`, the log, and each call on this link say why
        channel.fault = str(error) if link.engine else f"{link.protocol} needs an engine that turns freely: {error}"
    return channel
