"""What error correction gives each end, whatever the method: the same block, and how much was told about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..protocols.sifting import Token
from ..protocols.talk import Talk

Octets = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


@dataclass(slots=True)
class Reconciled:
    """One end's block after error correction. The blocks may still differ: verification comes next.

    Attributes:
        octets: the block, packed, SECRET; the source's own array, or the sink's corrected copy.
        leaked: bits that the source told about its block; the same number at both ends.
        corrected: bits that the sink flipped; the same number at both ends.
        flipped: their positions, ascending; None at the source.
        rounds: messages from the source, each of which the sink had to wait for.
    """

    octets: Octets
    leaked: int
    corrected: int
    flipped: Positions | None
    rounds: int

    def __repr__(self) -> str:
        return f"Reconciled({len(self.octets)} octets, leaked={self.leaked}, corrected={self.corrected})"


class Source(Protocol):
    """The end whose bits are the reference."""

    def __call__(self, octets: Octets, count: int, qber: float, token: Token, *, fast: bool) -> Talk[Reconciled]:
        """Help the other end to `octets`, `count` bits packed, of which a share `qber` is expected to differ.

        `token` gives random octets; `fast` allows compiled code, which says the same, sooner. Broken when the other
        end says what the method does not allow; NoKey when more would have to be told than the block is worth.
        """


class Sink(Protocol):
    """The end that corrects its bits."""

    def __call__(self, octets: Octets, count: int, qber: float, *, fast: bool) -> Talk[Reconciled]:
        """Correct a copy of `octets`; otherwise like `Source`."""
