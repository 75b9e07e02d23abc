"""How many pairs or pulses an exchange needs, decided again whenever a batch has been sifted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .distil.authenticate import ENTRY_BITS
from .distil.estimate import least_sample
from .distil.secrecy import guess, wanted
from .failure import NoKey
from .tally import Tally

SIGMAS = 2.0  # a shortfall costs one more round trip; more pairs than needed cost their making, every time
SMALL_BATCH = 128  # pairs: smaller ones cost more in messages than they gain in overlap
PARTS = 3  # batches that a small exchange is split into, so that one is made while another is sifted
DARK = 0.02  # of the detections that the bench promises: fewer than that is no link, but a cut one
SURELY = 200  # detections that the bench must have promised before we judge
OCTET = 8
LEAST_QBER = 0.005  # that a sample without an error leaves possible
HOPELESS = 0.1  # QBER at which error correction and privacy amplification leave nothing, or next to nothing
SPREAD_OF_S = 0.03  # that the phase error seen by CHSH may exceed the QBER in blocks of a few thousand pairs
SETTLED = 4  # rounds after which sample and block fit each other
EFFICIENCY = 1.2  # f of the error correction, of blocks of a few thousand bits


@dataclass(frozen=True, slots=True)
class Plan:
    """The pairs or pulses of one exchange.

    Attributes:
        needed: sifted bits without which the block would be shorter than asked.
        kept: expected share of what is detected that survives sifting.
        batch: pairs or detections in one batch, at most.
        detected: expected share of what is sent that is detected; 0 where nothing is lost.
    """

    needed: int
    kept: float
    batch: int
    detected: float = 0.0

    @classmethod
    def of(cls, needed: int, kept: float, largest: int, detected: float = 0.0) -> Plan:
        """Plan `needed` sifted bits in batches of at most `largest`."""
        total = pairs_for(needed, kept)
        return cls(needed, kept, min(largest, max(SMALL_BATCH, -(-total // PARTS))), detected)

    def next_batch(self, sifted: int, in_flight: int) -> int:
        """Return how many pairs (detections) to ask for now, 0 when those in flight will probably do."""
        if sifted >= self.needed:
            return 0
        missing = pairs_for(self.needed - sifted, self.kept) - in_flight
        return max(0, min(missing, self.batch))

    def look(self, tally: Tally) -> None:
        """Raise NoKey when hardly anything of what is sent arrives."""
        promised = tally.sent * self.detected
        if promised > SURELY and tally.created < DARK * promised:
            raise NoKey("dark: hardly anything arrives", alarm=True)


def sifted_for(bits: int, share: float, qber: float = 0.0, protocol: str = "") -> int:
    """Return the fewest sifted bits that probably leave `bits` of key when a `share` of them is published.

    `qber`: what is to be expected of the link.
    """
    if qber > HOPELESS:  # there will be no key: a small block is enough to see whether that is still so
        qber = 0.0
    qber = max(qber, LEAST_QBER)
    phase = qber + SPREAD_OF_S if protocol == "e91" else qber
    wished = -(-bits // OCTET) * OCTET + ENTRY_BITS
    kept = wished
    for _ in range(SETTLED):  # a small sample says little, and error correction has to reckon with more errors
        sample = least_sample(round(kept / (1 - share)), share)
        kept = wanted(wished, guess(round(qber * sample), sample), EFFICIENCY, phase)
    kept = -(-kept // OCTET) * OCTET
    sifted = kept
    while (missing := kept - (sifted - least_sample(sifted, share))) > 0:
        sifted += missing  # one more sifted bit leaves at most one more
    return sifted


def pairs_for(sifted: int, kept: float) -> int:
    """Return n such that n pairs leave at least `sifted` bits, but for a shortfall of SIGMAS deviations."""
    spread = SIGMAS * math.sqrt(kept * (1 - kept))
    root = (spread + math.sqrt(spread**2 + 4 * kept * sifted)) / (2 * kept)
    return math.ceil(root**2)
