"""The emulator port: what a protocol asks of any emulator. Entangled pairs, in batches.

The source of a line creates batches of pairs (ideally |Phi+>); each batch reaches the sink of that line, in order.
Either end measures each of its halves once, in bases it draws itself, before bases are exchanged.
An ideal pair gives equal outcomes in equal bases Z and X, and *opposite* outcomes in Y and Y (the protocol flips one
end); outcomes in different bases are independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Role = Literal["source", "sink"]
Bases = npt.NDArray[np.uint8]  # shape (count,): one of Z, X, Y per pair
Bits = npt.NDArray[np.uint8]  # shape (count,): 0 or 1 per pair; SECRET
Z, X, Y = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Pairs:
    """One end's halves of a batch of pairs: `batch` names it on its line (the same number at both ends)."""

    batch: int
    count: int


class Line(Protocol):
    """One exchange's use of a link. Every call raises Unavailable when the peer or the emulator is not there."""

    async def create_pairs(self, count: int) -> Pairs:
        """Make `count` pairs shared with the sink (source only)."""

    async def await_pairs(self) -> Pairs:
        """Return the line's next batch, waiting until it is there (sink only; Silent when patience ends)."""

    async def measure(self, pairs: Pairs, bases: Bases) -> Bits:
        """Measure this end's half of each pair, once: `bases` and the outcomes have shape (pairs.count,)."""

    async def discard(self) -> None:
        """Forget the line and all that was not measured. Never raises; the line is of no use afterwards."""


class Emulator(Protocol):
    """An emulator as a worker sees it."""

    name: str  # as in the network file, "simulaqron" or "ideal"

    def line(self, role: Role, peer: str, name: str) -> Line:
        """Open a line to `peer`. No message is sent yet.

        Both ends give the same `name`, which no line of that link had before (so: job *and* attempt).
        """
