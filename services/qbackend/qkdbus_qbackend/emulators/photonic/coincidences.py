"""How often both ends of a link with entangled pairs detect something at once, and what befalls these pairs.

Rates are those of `qkdbus.physics.entangled.coincidences`: a cw-pumped source, Poissonian in many modes (Neumann,
Buczak, Bohmann, Ursin, PRA 104, 022406 (2021), whose CC^t and CC^acc these are for short windows). Accidental
coincidences (multi-pair emission, dark counts) have independent outcomes; those of pairs follow `born`. Multi-pair
effects are right to first order of rate x window; a pulsed single-mode source has thermal statistics instead (Ma, Fung,
Lo, PRA 76, 012307 (2007)), which differ in that order. The window is taken to hold every pair.

Dead time t: the detectors of both outcomes share their end's singles evenly, and each is live for a share
1 / (1 + S t / (2 detectors)) of the time (non-paralysable); the shares of both ends multiply all coincidences. That the
detector which is blind is the one that has just clicked is not drawn.

An eavesdropper sits before the follower: she measures and sends on whatever is on its way there, and loses nothing.
Splitting beams or photon numbers gains her nothing from single photons and changes nothing that is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.entangled import coincidences
from qkdbus.physics.setup import PairSetup

from .born import Way


@dataclass(frozen=True, slots=True)
class Coincidences:
    """Detections at both ends at once, per s: `pairs`, and `accidental` ones."""

    pairs: float
    accidental: float

    @property
    def total(self) -> float:
        """All that both ends see."""
        return self.pairs + self.accidental

    @classmethod
    def of(cls, setup: PairSetup, cut: bool = False) -> Coincidences:
        """Return the rates of a setup; `cut`: nothing reaches the follower."""
        eta, dark = (setup.eta[0], 0.0 if cut else setup.eta[1]), setup.dark_rate_hz
        pairs, accidental = coincidences(setup.rate_hz, eta, dark, setup.window_s)
        singles = (setup.rate_hz * share + counts for share, counts in zip(eta, dark, strict=True))
        live = math.prod(1 / (1 + rate * setup.dead_time_s / (2 * setup.detectors)) for rate in singles)
        return cls(live * pairs, live * accidental)


def way(setup: PairSetup, eve: Eavesdropper) -> Way:
    """Return what befalls the follower's halves of the pairs that are detected, accidental ones among them."""
    rates = Coincidences.of(setup, eve.cut)
    genuine = rates.pairs / rates.total if rates.total else 0.0
    return Way(
        mixed=1 - genuine * setup.visibility * (1 - setup.depolarising) * (1 - eve.jam),
        dephased=setup.dephasing,
        misaligned=setup.misalignment,
        intercepted=eve.intercept_resend,
        angles=eve.bases or (0.0, 45.0),
    )
