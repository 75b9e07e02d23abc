"""The emulator port: what a protocol asks of any emulator. Entangled pairs or weak pulses, in batches.

Pairs: the source of a line creates batches of them (ideally |Phi+>); each batch reaches the sink of that line, in
order. Either end measures each of its halves once, in bases it draws itself, before bases are exchanged.
An ideal pair measured at polariser angles a and b differs with probability sin^2(a - b): equal outcomes in equal
bases, independent ones in Z and X. Y and Y give *opposite* outcomes (the protocol flips one end).

Pulses: the source emits them in states that it draws itself; few of them click at the sink. The source's settings of
a pulse are asked for (`recall`) once the sink has told in public which pulses clicked. Nobody ever asks for the
others, so an emulator need not have drawn them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Role = Literal["source", "sink"]
Bases = npt.NDArray[np.uint8]  # shape (count,): one of the codes below per pair or pulse
Bits = npt.NDArray[np.uint8]  # shape (count,): 0 or 1 per pair or pulse; SECRET
Z, X, Y, A22, A67 = 0, 1, 2, 3, 4  # polariser angles: Z 0, X 45, A22 22.5, A67 67.5 degrees; Y circular
PAULI = frozenset({Z, X, Y})
LINEAR = frozenset({Z, X, A22, A67})


@dataclass(frozen=True, slots=True)
class Pairs:
    """One end's halves of a batch of pairs: `batch` names it on its line (the same number at both ends).

    `sent`: pairs that left the source for the `count` that both ends detected; 0 where nothing is lost.
    """

    batch: int
    count: int
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Pulses:
    """A batch of `sent` pulses: `batch` names it on its line (the same number at both ends)."""

    batch: int
    sent: int


@dataclass(frozen=True, slots=True)
class Clicks:
    """What the sink saw of a batch of pulses.

    Attributes:
        count: pulses that clicked.
        which: names them, for the source; public (it stands for the times of the clicks).
        bases: Z or X, as the receiver chose; shape (count,).
        bits: shape (count,).
    """

    count: int
    which: bytes
    bases: Bases = field(repr=False)
    bits: Bits = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """What the source had prepared in the pulses that clicked: shape (count,) each.

    Attributes:
        bases: Z or X.
        bits: 0 or 1.
        intensities: index into the setup's intensities, 0 the brightest (the signal).
    """

    bases: Bases = field(repr=False)
    bits: Bits = field(repr=False)
    intensities: npt.NDArray[np.uint8] = field(repr=False)


class Line(Protocol):
    """One exchange's use of a link with pairs. Raises Unavailable when the peer or the emulator is not there."""

    async def create_pairs(self, count: int) -> Pairs:
        """Make pairs until `count` of them were (or could be) detected at both ends (source only).

        May return fewer when the link is slow: at least one batch a second, even an empty one.
        """

    async def await_pairs(self) -> Pairs:
        """Return the line's next batch, waiting until it is there (sink only; Silent when patience ends)."""

    async def measure(self, pairs: Pairs, bases: Bases) -> Bits:
        """Measure this end's half of each pair, once: `bases` and the outcomes have shape (pairs.count,)."""

    async def discard(self) -> None:
        """Forget the line and all that was not measured. Never raises; the line is of no use afterwards."""


class PulseLine(Protocol):
    """One exchange's use of a link with weak pulses. Raises Unavailable like `Line`."""

    async def send_pulses(self, clicks: int) -> Pulses:
        """Send so many pulses that about `clicks` of them click, at least one (source only).

        Sends fewer when the link is slow: at least one batch a second, even one in which nothing will click.
        """

    async def await_pulses(self) -> Pulses:
        """Return the line's next batch, waiting until it is there (sink only)."""

    async def detect(self, pulses: Pulses) -> Clicks:
        """Measure a batch, once, each pulse in a basis drawn with the setup's `p_z_receiver` (sink only)."""

    async def recall(self, pulses: Pulses, which: bytes) -> Sent:
        """Return what was sent in the pulses that clicked, once (source only). Broken when `which` is not of them."""

    async def discard(self) -> None:
        """Forget the line. Never raises; it is of no use afterwards."""


class Emulator(Protocol):
    """An emulator as a worker sees it."""

    name: str  # as in the network file: "simulaqron", "photonic" or "ideal"
    bases: frozenset[int]  # in which it can measure the halves of pairs; empty where it has none

    def line(self, role: Role, peer: str, name: str) -> Line:
        """Open a line of pairs to `peer`. No message is sent yet.

        Both ends give the same `name`, which no line of that link had before (so: job *and* attempt).
        """

    def pulse_line(self, role: Role, peer: str, name: str) -> PulseLine:
        """Open a line of weak pulses to `peer`. Refused where the emulator has none."""

    def link_time(self) -> float:
        """Seconds that the exchange has taken so far on the link's own clock; 0 where it has none."""
