"""Sifting by equal bases: what BBM92 and the same-bases variant of E91 have in common.

Each end draws a basis per pair once the pair exists, and measures. The sink says its bases when it has measured;
the source says its own when it has measured too. Pairs measured in different bases are sifted out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bits import Bits, octet_count, pack, unpack, wipe
from ..emulators.port import Bases, Pairs, X, Y
from ..failure import Broken
from .talk import Hear, Measure, Talk, Tell

Token = Callable[[int], bytes]  # n random octets from the system's generator


@dataclass(slots=True)
class Sifted:
    """What one end keeps of a batch: `bits` shape (kept,), SECRET; `created` pairs the batch had."""

    batch: int
    created: int
    bits: Bits

    def __repr__(self) -> str:
        return f"Sifted(batch={self.batch}, created={self.created}, kept={len(self.bits)})"


@dataclass(frozen=True, slots=True)
class SameBases:
    """A protocol whose ends draw from the same `bases` (2: Z X; 3: Z X Y), each with equal probability.

    Attributes:
        name: as in the network file.
    """

    name: str
    bases: int

    @property
    def kept(self) -> float:
        """Expected share of the pairs that survive sifting."""
        return 1 / self.bases

    def source(self, pairs: Pairs, token: Token) -> Talk[Sifted]:
        """The end that made the pairs (the link's arbiter)."""
        mine = draw(pairs.count, self.bases, token)
        outcomes: Bits = yield Measure(pairs, mine)
        theirs = self._read((yield Hear()), pairs.count)
        yield Tell(self._write(mine))
        return self._sift(pairs, outcomes, mine == theirs)

    def sink(self, pairs: Pairs, token: Token) -> Talk[Sifted]:
        """The end that the pairs are sent to."""
        mine = draw(pairs.count, self.bases, token)
        outcomes: Bits = yield Measure(pairs, mine)
        yield Tell(self._write(mine))
        theirs = self._read((yield Hear()), pairs.count)
        # |Phi+> gives opposite outcomes in Y and Y: one end flips, and it is this one.
        if self.bases > Y:
            outcomes = outcomes ^ (mine == Y)
        return self._sift(pairs, outcomes, mine == theirs)

    def _sift(self, pairs: Pairs, outcomes: Bits, same: npt.NDArray[np.bool_]) -> Sifted:
        kept = outcomes[same]
        wipe(outcomes)
        return Sifted(pairs.batch, pairs.count, kept)

    def _write(self, bases: Bases) -> bytes:
        return pack(bases) if self.bases == 2 else pack(bases == X) + pack(bases == Y)

    def _read(self, octets: bytes, count: int) -> Bases:
        if self.bases == 2:
            return unpack(octets, count)
        half = octet_count(count)
        bases = unpack(octets[:half], count) + 2 * unpack(octets[half:], count)
        if count and bases.max() >= self.bases:
            raise Broken("a basis that this protocol does not have")
        return bases


# 255 = 3 x 85 octets fall evenly on three bases; the 256th would favour one of them and is drawn again.
_THREE = bytes(octet % 3 for octet in range(256))


def draw(count: int, bases: int, token: Token) -> Bases:
    """Draw `count` bases, each of 0 .. bases-1 (2 or 3) with exactly equal probability."""
    if bases == 2:
        return unpack(token(octet_count(count)), count)
    drawn = bytearray()
    while len(drawn) < count:
        missing = count - len(drawn)
        drawn += token(missing + missing // 128 + 4).translate(_THREE, b"\xff")
    return np.frombuffer(drawn, np.uint8, count)
