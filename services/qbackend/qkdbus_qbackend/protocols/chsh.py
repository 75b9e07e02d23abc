"""The CHSH test (Clauser, Horne, Shimony, Holt, PRL 23, 880 (1969)) on outcomes told in public, as E91 uses it.

With Alice at 0 and 45 degrees (A1, A3) and Bob at 22.5 and 67.5 (B1, B3), E = (agree - differ) / N of a combination,

    S = E(A1, B1) - E(A1, B3) + E(A3, B1) + E(A3, B3),      standard error = sqrt(sum (1 - E^2) / N).

|Phi+> of Werner visibility V gives S = 2 sqrt(2) V; nothing local gives more than 2. An eavesdropper who measures every
half and sends it on leaves S = sqrt(2), whatever polariser angle she takes.

What it says: S is a statement about the pairs that were detected, on the assumption that they are a fair sample of
those that were sent. Where photons are lost it gives no device independence (that would need no such assumption and
an efficiency beyond 82.8 %, Garg and Mermin, PRD 35, 3831 (1987)): S > 2 is a necessary condition for key, not a
sufficient one. S = 2 is reached at a QBER of 14.6 %, beyond the 11 % at which the last secret bit is gone, so both
QBER and S have to be watched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIGNS = (1, -1, 1, 1)  # of the four combinations in S
COMBINATIONS = ("A1 B1", "A1 B3", "A3 B1", "A3 B3")
LEAST = 30  # outcomes per combination: below that, its standard error is not to be trusted
Four = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Correlations:
    """Counts of equal and different outcomes, by combination of bases in the order of `COMBINATIONS`."""

    agree: Four = (0, 0, 0, 0)
    differ: Four = (0, 0, 0, 0)

    @classmethod
    def count(cls, combinations: npt.NDArray[np.uint8], differ: npt.NDArray[np.uint8]) -> Correlations:
        """Count pairs: shape (n,) each, the combination 0 .. 3 and whether the outcomes differ, 0 or 1."""
        counts = np.bincount(2 * combinations + differ, minlength=8).tolist()
        return cls(tuple(counts[0::2]), tuple(counts[1::2]))

    def __add__(self, other: Correlations) -> Correlations:
        """Return the counts of both."""
        agree, differ = (
            tuple(one + two for one, two in zip(*both, strict=True))
            for both in ((self.agree, other.agree), (self.differ, other.differ))
        )
        return Correlations(agree, differ)  # type: ignore[arg-type]  # four of each

    @property
    def totals(self) -> Four:
        """Outcomes per combination."""
        one, two, three, four = (same + other for same, other in zip(self.agree, self.differ, strict=True))
        return one, two, three, four

    @property
    def expectations(self) -> tuple[float, ...]:
        """E of the four combinations, -1 .. 1; 0 where there is no outcome."""
        pairs = zip(self.agree, self.differ, strict=True)
        return tuple((same - other) / (same + other) if same + other else 0.0 for same, other in pairs)

    @property
    def s(self) -> float:
        """The CHSH value, -4 .. 4."""
        return sum(sign * value for sign, value in zip(SIGNS, self.expectations, strict=True))

    @property
    def error(self) -> float:
        """Standard error of `s`; infinite where a combination has too few outcomes to tell (`LEAST`)."""
        if min(self.totals) < LEAST:
            return math.inf
        return math.sqrt(sum((1 - e * e) / n for e, n in zip(self.expectations, self.totals, strict=True)))

    def violates(self, s_min: float = 2.0, z: float = 3.0) -> bool:
        """Return whether S exceeds `s_min` by more than `z` standard errors; where not, the exchange is given up."""
        return self.s - z * self.error > s_min
