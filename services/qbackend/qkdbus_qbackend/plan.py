"""How many pairs an exchange needs, decided again whenever a batch has been sifted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .distil.estimate import least_sample
from .distil.verify import TAG_BITS

SIGMAS = 2.0  # a shortfall costs one more round trip; more pairs than needed cost their making, every time
SMALL_BATCH = 128  # pairs: smaller ones cost more in messages than they gain in overlap
PARTS = 3  # batches that a small exchange is split into, so that one is made while another is sifted


@dataclass(frozen=True, slots=True)
class Plan:
    """The pairs of one exchange.

    Attributes:
        needed: sifted bits without which the block would be shorter than asked.
        kept: expected share of the pairs that survive sifting.
        batch: pairs in one batch, at most.
    """

    needed: int
    kept: float
    batch: int

    @classmethod
    def of(cls, bits: int, share: float, kept: float, largest: int) -> Plan:
        """Plan `bits` of key when a `share` of the sifted bits is published, in batches of at most `largest`."""
        needed = sifted_for(bits, share)
        total = pairs_for(needed, kept)
        return cls(needed, kept, min(largest, max(SMALL_BATCH, -(-total // PARTS))))

    def next_batch(self, sifted: int, in_flight: int) -> int:
        """Return how many pairs to make now, 0 when those in flight will probably do."""
        if sifted >= self.needed:
            return 0
        missing = pairs_for(self.needed - sifted, self.kept) - in_flight
        return max(0, min(missing, self.batch))


def sifted_for(bits: int, share: float) -> int:
    """Return the fewest sifted bits that leave `bits` of key after estimation and verification."""
    kept = -(-bits // 8) * 8 + TAG_BITS
    sifted = kept
    while (missing := kept - (sifted - least_sample(sifted, share))) > 0:
        sifted += missing  # one more sifted bit leaves at most one more
    return sifted


def pairs_for(sifted: int, kept: float) -> int:
    """Return n such that n pairs leave at least `sifted` bits, but for a shortfall of SIGMAS deviations."""
    spread = SIGMAS * math.sqrt(kept * (1 - kept))
    root = (spread + math.sqrt(spread**2 + 4 * kept * sifted)) / (2 * kept)
    return math.ceil(root**2)
