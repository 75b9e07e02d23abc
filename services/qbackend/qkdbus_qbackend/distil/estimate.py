"""Estimation: a random sample of the sifted bits is published and compared; the rest is kept.

The source chooses the sample after both ends have sifted, from the system's random generator.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bits import Bits, octet_count, pack, unpack
from ..failure import Broken
from ..protocols.sifting import Token
from ..protocols.talk import Hear, Talk, Tell

SMALLEST = 16  # bits: below that a sample says nothing
_COUNT = struct.Struct("<Q")
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Estimated:
    """What an end keeps, shape (kept,), SECRET; how many bits were published, and the share that differed."""

    kept: Bits
    disclosed: int
    qber: float

    def __repr__(self) -> str:
        return f"Estimated(kept={len(self.kept)}, disclosed={self.disclosed}, qber={self.qber:.4f})"


def sample_size(sifted: int, share: float) -> int:
    """Return how many of `sifted` bits are published, at least `share` of them.

    What would not fill an octet of the block is published too, rather than thrown away: the kept bits are
    always a whole number of octets.
    """
    size = least_sample(sifted, share)
    return size + (sifted - size) % 8


def least_sample(sifted: int, share: float) -> int:
    """Return the bits that have to be published, before whole octets are looked at."""
    return min(sifted, max(SMALLEST, math.ceil(share * sifted)))


def choose(sifted: int, size: int, token: Token) -> Mask:
    """Draw a set of exactly `size` out of `sifted` positions, each set equally likely; shape (sifted,)."""
    chosen = np.zeros(sifted, np.bool_)
    missing = size
    while missing:  # a position drawn twice counts once: the rest is drawn again
        chosen[np.frombuffer(token(8 * missing), np.uint64) % np.uint64(sifted)] = True
        missing = size - int(np.count_nonzero(chosen))
    return chosen


def source(sifted: Bits, share: float, token: Token) -> Talk[Estimated]:
    """The end that chooses the sample."""
    chosen = choose(len(sifted), sample_size(len(sifted), share), token)
    mine = sifted[chosen]
    yield Tell(_COUNT.pack(len(sifted)) + pack(chosen) + pack(mine))
    theirs = unpack((yield Hear()), len(mine))
    return _compare(sifted, chosen, mine, theirs)


def sink(sifted: Bits, share: float) -> Talk[Estimated]:
    """The end that is told the sample. Broken when that is not what `share` asks for."""
    said = memoryview((yield Hear()))
    count, positions = len(sifted), octet_count(len(sifted))
    if len(said) < _COUNT.size or _COUNT.unpack_from(said) != (count,):
        raise Broken("the ends sifted different numbers of bits")
    chosen = unpack(said[_COUNT.size : _COUNT.size + positions], count).view(np.bool_)
    mine = sifted[chosen]
    if len(mine) != sample_size(count, share):
        raise Broken("a sample of another size than agreed")
    theirs = unpack(said[_COUNT.size + positions :], len(mine))
    yield Tell(pack(mine))
    return _compare(sifted, chosen, mine, theirs)


def _compare(sifted: Bits, chosen: Mask, mine: Bits, theirs: Bits) -> Estimated:
    disclosed = len(mine)
    wrong = int(np.count_nonzero(mine != theirs))
    return Estimated(sifted[~chosen], disclosed, wrong / disclosed if disclosed else 0.0)
