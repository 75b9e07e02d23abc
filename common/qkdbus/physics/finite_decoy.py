"""Secret bits of a block of decoy BB84: counts by intensity in, length out.

Lim, Curty, Walenta, Xu, Zbinden, PRA 89, 022307 (2014), three intensities, eqs. 1 to 5 (key basis Z here, X there):

    l = s0 + s1 (1 - h(phi)) - leak - 6 log2(21 / eps_sec) - log2(2 / eps_cor)

Rusca, Boaron, Gruenenfelder, Martin, Zbinden, APL 112, 171104 (2018), two intensities, eqs. A16 to A25: the same with
19 for 21; there the clicks of empty pulses, half of which are errors, are bounded from above by errors (A16).

s0, s1: bits of the block from pulses without photon and with one; phi: phase error rate of the latter. Counts follow
Hoeffding's inequality with eps_sec / 21 (19) each, n+- = e^k / p_k (n_k +- sqrt(n / 2 ln(21 / eps_sec))).

Four remarks. A count cannot be negative: n- is cut at 0. Single photons cannot err more often than all pulses do: the
bound on their errors (Lim eq. 4, Rusca eq. A22) is cut at the errors that were seen. That costs no failure probability
and is in neither paper; with one decoy, where that bound takes in errors of several photons, it gives more key than
Rusca's formula (in setups tried at 0 to 35 dB: 4 to 14 % at 1e7 bits, up to 5 % of endless blocks). The phase error is
sampled with `finite.sampling`, never less than the paper's gamma. The papers fix the length beforehand and give up
below agreed counts; here, as is usual, it follows from the observed ones (such protocols: Tupkary, Tan, Luetkenhaus,
PRR 6, 023002 (2024)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .decoy import photon_share
from .entropy import entropy
from .finite import FINITE, Goal, Secret, sampling, secret

Counts = tuple[float, ...]
_TERMS = {3: 21, 2: 19}  # failure probabilities that make up eps_sec, by number of intensities
_LEAST = 1e-300


@dataclass(frozen=True, slots=True)
class DecoyCounts:
    """Clicks where both ends had the same basis, and errors among them: by intensity, the brightest first.

    Attributes:
        n_z: key bits.
        n_x, m_x: disclosed bits, and errors among them.
        m_z: errors among the key bits, which error correction finds; empty before that. Two intensities need them.
    """

    n_z: Counts
    n_x: Counts
    m_x: Counts
    m_z: Counts = ()

    def __add__(self, other: DecoyCounts) -> DecoyCounts:
        """Return the counts of both. `m_z` is lost unless both have it."""
        known = self.m_z and other.m_z
        return DecoyCounts(
            _sum(self.n_z, other.n_z),
            _sum(self.n_x, other.n_x),
            _sum(self.m_x, other.m_x),
            _sum(self.m_z, other.m_z) if known else (),
        )

    @property
    def qber(self) -> float:
        """Error rate of the disclosed bits; 1/2 where there are none.

        Of all intensities, which have the same shares in the key: what to expect of the key bits.
        """
        return sum(self.m_x) / sum(self.n_x) if sum(self.n_x) else 0.5


def decoy(
    counts: DecoyCounts, intensities: Sequence[float], probabilities: Sequence[float], told: float, goal: Goal = FINITE
) -> Secret:
    """Return the length of the block whose bits are those of `counts.n_z`.

    Args:
        counts: of the block.
        intensities: mean photon numbers, brightest first: three, k1 > k2 + k3 and k2 > k3 >= 0, or two, k1 > k2 > 0.
        probabilities: with which the source chose them.
        told: bits told about the block: error correction and verification.
        goal: see `finite.Goal`.

    Raises:
        ValueError: intensities that the proof does not cover; two of them, and no `m_z`.
    """
    source = _Source(tuple(intensities), tuple(probabilities), goal)
    key = source.basis(counts.n_z, counts.m_z)
    test = source.basis(counts.n_x, counts.m_x)
    s0 = min(key.vacuum(), sum(counts.n_z))
    s1, checked = min(key.single(), sum(counts.n_z) - s0), test.single()
    phase = 0.5
    if s1 > 0 and checked > 0:
        rate = min(0.5, test.single_errors() / checked)
        phase = min(0.5, rate + (sampling(source.failure, rate, s1, checked) if goal.finite else 0.0))
    hashing = 6 * math.log2(1 / source.failure) if goal.finite else 0.0
    return secret(s0 + s1 * (1 - entropy(phase)) - told - hashing, phase, goal, s0, s1)


@dataclass(frozen=True, slots=True)
class _Source:
    intensities: tuple[float, ...]
    probabilities: tuple[float, ...]
    goal: Goal

    def __post_init__(self) -> None:
        k = self.intensities
        covered = {3: k[0] > sum(k[1:]) and k[1] > k[-1] >= 0, 2: k[0] > k[-1] > 0}
        if not covered.get(len(k)) or len(self.probabilities) != len(k) or min(self.probabilities) <= 0:
            raise ValueError(f"no bound for intensities {k} with probabilities {self.probabilities}")

    @property
    def failure(self) -> float:
        """Probability with which each single estimate may fail."""
        return self.goal.eps_sec / _TERMS[len(self.intensities)]

    def deviation(self, total: float) -> float:
        """Hoeffding's delta for `total` events that each fall to some intensity."""
        return math.sqrt(total / 2 * math.log(1 / self.failure)) if self.goal.finite else 0.0

    def basis(self, clicks: Counts, errors: Counts) -> _Basis:
        return _Basis(self, clicks, errors)

    def tau(self, photons: int) -> float:
        return photon_share(photons, self.intensities, self.probabilities)


@dataclass(frozen=True, slots=True)
class _Basis:
    """Bounds on what happened in one basis."""

    source: _Source
    clicks: Counts
    errors: Counts

    def vacuum(self) -> float:
        """Lower bound on the clicks of empty pulses: Lim eq. 2, Rusca eq. A19 (from the two faintest intensities)."""
        k, last = self.source.intensities, len(self.clicks) - 1
        bound = k[last - 1] * self._least(self.clicks, last) - k[last] * self._most(self.clicks, last - 1)
        return max(0.0, self.source.tau(0) * bound / (k[last - 1] - k[last]))

    def vacuum_at_most(self) -> float:
        """Upper bound on the same, from the errors of the decoy: Rusca eq. A16."""
        if not self.errors:
            raise ValueError("two intensities need the errors among the key bits")
        wrong = self.source.tau(0) * self._most(self.errors, 1)
        return 2 * (wrong + self.source.deviation(sum(self.clicks)))

    def single(self) -> float:
        """Lower bound on the clicks of pulses with one photon: Lim eq. 3, Rusca eq. A17."""
        k, tau0, tau1 = self.source.intensities, self.source.tau(0), self.source.tau(1)
        bright = self._most(self.clicks, 0)
        if len(k) == 3:
            rest = (k[1] ** 2 - k[2] ** 2) / k[0] ** 2 * (bright - self.vacuum() / tau0)
            faint = self._least(self.clicks, 1) - self._most(self.clicks, 2)
            return max(0.0, tau1 * k[0] * (faint - rest) / (k[0] * (k[1] - k[2]) - k[1] ** 2 + k[2] ** 2))
        share = (k[1] / k[0]) ** 2
        rest = share * bright + (1 - share) * self.vacuum_at_most() / tau0
        return max(0.0, tau1 * k[0] * (self._least(self.clicks, 1) - rest) / (k[1] * (k[0] - k[1])))

    def single_errors(self) -> float:
        """Upper bound on the errors among these: Lim eq. 4, Rusca eq. A22 (from the two faintest intensities)."""
        k, last = self.source.intensities, len(self.clicks) - 1
        bound = self._most(self.errors, last - 1) - self._least(self.errors, last)
        return min(sum(self.errors), max(0.0, self.source.tau(1) * bound / (k[last - 1] - k[last])))

    def _most(self, counts: Counts, place: int) -> float:
        return self._scale(place) * (counts[place] + self.source.deviation(sum(counts)))

    def _least(self, counts: Counts, place: int) -> float:
        return self._scale(place) * max(0.0, counts[place] - self.source.deviation(sum(counts)))

    def _scale(self, place: int) -> float:
        return math.exp(self.source.intensities[place]) / self.source.probabilities[place]


def _sum(one: Counts, other: Counts) -> Counts:
    return tuple(a + b for a, b in zip(one, other, strict=True))
