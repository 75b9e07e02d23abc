"""Sifting: what each end keeps of a batch, and the sifting by equal bases that BBM92 and same-bases E91 have in common.

Each end draws a basis per pair once the pair exists, and measures. The sink says its bases when it has measured;
the source says its own when it has measured too. Pairs measured in different bases are sifted out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..bits import Bits, octet_count, pack, unpack, wipe
from ..emulators.port import Bases, Pairs, Pulses, Y
from ..failure import Broken
from .talk import Hear, Measure, Talk, Tell

Token = Callable[[int], bytes]  # n random octets from the system's generator
Choices = npt.NDArray[np.uint8]  # shape (count,): index into the bases that an end draws from


class Evidence(Protocol):
    """What an exchange learns in public while it sifts, added up over its batches (`chsh.Correlations`, say)."""

    def __add__(self, other: Self, /) -> Self:
        """Return the evidence of both."""


@dataclass(slots=True)
class Sifted:
    """What one end keeps of a batch: created = sifted out + disclosed + kept.

    Attributes:
        batch: its number on the line.
        created: pairs it had (pairs or pulses that were detected, where there is loss).
        bits: shape (kept,), SECRET.
        disclosed: outcomes that sifting itself told in public, for the evidence.
        evidence: what they say; the same at both ends.
        marks: class of each kept bit, shape (kept,), where a protocol has classes (decoy BB84: the intensity).
        sent: pairs or pulses that left the source for it; 0 where nothing is lost.
    """

    batch: int
    created: int
    bits: Bits = field(repr=False)
    disclosed: int = 0
    evidence: Evidence | None = None
    marks: npt.NDArray[np.uint8] | None = field(default=None, repr=False)
    sent: int = 0

    def __repr__(self) -> str:
        return f"Sifted(batch={self.batch}, created={self.created}, kept={len(self.bits)}, disclosed={self.disclosed})"


class _Described(Protocol):
    @property
    def name(self) -> str:
        """As in the network file."""

    @property
    def kept(self) -> float:
        """Expected share of what is detected that goes into the key."""

    @property
    def disclosed_share(self) -> float:
        """Expected share of what is detected whose outcomes are told in public by sifting itself."""


class PairProtocol(_Described, Protocol):
    """A protocol over entangled pairs. `bases`: those that an emulator has to measure in, at either end."""

    @property
    def signal(self) -> Literal["pairs"]:
        """Say what it runs on."""

    @property
    def bases(self) -> frozenset[int]:
        """Codes of `emulators.port`."""

    def source(self, pairs: Pairs, token: Token, /) -> Talk[Sifted]:
        """Return the talk of the end that made the pairs."""

    def sink(self, pairs: Pairs, token: Token, /) -> Talk[Sifted]:
        """Return the talk of the end that the pairs are sent to."""


class PulseProtocol(_Described, Protocol):
    """A protocol over weak pulses."""

    @property
    def signal(self) -> Literal["pulses"]:
        """Say what it runs on."""

    def source(self, pulses: Pulses, token: Token, /) -> Talk[Sifted]:
        """Return the talk of the end that sent the pulses."""

    def sink(self, pulses: Pulses, token: Token, /) -> Talk[Sifted]:
        """Return the talk of the end that detects them."""


@dataclass(frozen=True, slots=True)
class SameBases:
    """A protocol whose ends draw from the same `choices` bases (2: Z X; 3: Z X Y), each with equal probability.

    Attributes:
        name: as in the network file.
    """

    name: str
    choices: int

    @property
    def signal(self) -> Literal["pairs"]:
        """It runs on entangled pairs."""
        return "pairs"

    @property
    def bases(self) -> frozenset[int]:
        """Bases that are measured at either end."""
        return frozenset(range(self.choices))

    @property
    def kept(self) -> float:
        """Expected share of the pairs that survive sifting."""
        return 1 / self.choices

    @property
    def disclosed_share(self) -> float:
        """Sifting discloses no outcome."""
        return 0.0

    def source(self, pairs: Pairs, token: Token) -> Talk[Sifted]:
        """The end that made the pairs (the link's arbiter)."""
        mine = draw(pairs.count, self.choices, token)
        outcomes: Bits = yield Measure(pairs, mine)
        theirs = read_choices((yield Hear()), pairs.count, self.choices)
        yield Tell(write_choices(mine, self.choices))
        return self._sift(pairs, outcomes, mine == theirs)

    def sink(self, pairs: Pairs, token: Token) -> Talk[Sifted]:
        """The end that the pairs are sent to."""
        mine = draw(pairs.count, self.choices, token)
        outcomes: Bits = yield Measure(pairs, mine)
        yield Tell(write_choices(mine, self.choices))
        theirs = read_choices((yield Hear()), pairs.count, self.choices)
        # |Phi+> gives opposite outcomes in Y and Y: one end flips, and it is this one.
        if self.choices > Y:
            outcomes = outcomes ^ (mine == Y)
        return self._sift(pairs, outcomes, mine == theirs)

    def _sift(self, pairs: Pairs, outcomes: Bits, same: npt.NDArray[np.bool_]) -> Sifted:
        kept = outcomes[same]
        wipe(outcomes)
        return Sifted(pairs.batch, pairs.count, kept, sent=pairs.sent)


def write_choices(drawn: Choices, choices: int) -> bytes:
    """Write which of 2 or 3 bases were drawn, for the public channel: one bitmap, or two (drawn 1, drawn 2)."""
    return pack(drawn) if choices == 2 else pack(drawn == 1) + pack(drawn == 2)


def read_choices(octets: bytes, count: int, choices: int) -> Choices:
    """Read what `write_choices` wrote. Broken when it cannot have written that."""
    if choices == 2:
        return unpack(octets, count)
    half = octet_count(count)
    drawn = unpack(octets[:half], count) + 2 * unpack(octets[half:], count)
    if count and drawn.max() >= choices:
        raise Broken("a basis that this protocol does not have")
    return drawn


# 255 = 3 x 85 octets fall evenly on three bases; the 256th would favour one of them and is drawn again.
_THREE = bytes(octet % 3 for octet in range(256))


def draw(count: int, choices: int, token: Token) -> Bases:
    """Draw `count` of 0 .. choices-1 (2 or 3), each with exactly equal probability."""
    if choices == 2:
        return unpack(token(octet_count(count)), count)
    drawn = bytearray()
    while len(drawn) < count:
        missing = count - len(drawn)
        drawn += token(missing + missing // 128 + 4).translate(_THREE, b"\xff")
    return np.frombuffer(drawn, np.uint8, count)
