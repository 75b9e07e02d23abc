"""How many secret bits a block holds: the terms that all proofs share, and the length from a sample of entangled pairs.

Two senses of secret. "finite": the key is epsilon-secure (composable, general attacks), epsilon = eps_sec + eps_cor.
"asymptotic": observed rates are taken for the true ones, as for a block of infinite length: an estimate that a short
block can betray, without any epsilon. What was really told about the key is subtracted in both.

Sampled pairs: Tomamichel, Lim, Gisin, Renner, Nat. Commun. 3, 634 (2012), eq. 2:

    l = n (1 - h(Q + mu)) - leak - log2(2 / (eps_sec^2 eps_cor)),
    mu = sqrt((n + k) / (n k) (k + 1) / k ln(4 / eps_sec)).

mu is Serfling's inequality at a failure probability of (eps_sec / 4)^2, whatever Q is. Hoeffding's for the same sample
knows Q and is far sharper where Q is small; the smaller of both is taken, each at half that probability.

The papers' log2(2 / eps_cor) stands for a verification hash of ceil(log2(1 / eps_cor)) bits; here, as in all of
`finite_*`, `told` has the bits that were told in fact: error correction and verification tag.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .entropy import entropy

Security = Literal["finite", "asymptotic"]
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Goal:
    """In which sense a key shall be secret.

    Attributes:
        security: "finite" or "asymptotic".
        eps_sec: probability that the key is not secret; not looked at in the asymptotic sense.
        eps_cor: probability that the ends hold different keys, as their verification leaves it.
    """

    security: Security = "finite"
    eps_sec: float = 1e-10
    eps_cor: float = 2.0**-47

    @property
    def finite(self) -> bool:
        """Whether statistics count."""
        return self.security == "finite"

    @property
    def epsilon(self) -> float:
        """Failure probability of a block; 0 in the asymptotic sense, which has none."""
        return self.eps_sec + self.eps_cor if self.finite else 0.0


FINITE = Goal()
ASYMPTOTIC = Goal("asymptotic")


@dataclass(frozen=True, slots=True)
class Secret:
    """What privacy amplification may leave of a block.

    Attributes:
        length: bits; 0 where there is no key.
        phase_error: that was assumed of the bits that give key (with pulses: of those of one photon), at most 1/2.
        epsilon: failure probability of the whole block; 0 with "asymptotic".
        security: "finite" or "asymptotic".
        s0, s1: bits of the block that came, at least, from pulses without photon and with one; 0 with pairs.
    """

    length: int
    phase_error: float
    epsilon: float
    security: Security
    s0: float = 0.0
    s1: float = 0.0


def sampled(kept: float, sample: float, wrong: float, told: float, goal: Goal = FINITE) -> Secret:
    """Return the length of `kept` bits of which a random sample, published and compared, showed errors.

    Args:
        kept: bits of the block, n.
        sample: bits published, k; chosen at random among n + k.
        wrong: of these, how many differed.
        told: bits told about the block: error correction and verification.
        goal: see `Goal`.

    That the sample's bit errors bound the phase errors of the rest is for the caller to make sure of.
    """
    if not kept or not sample:
        return secret(0.0, 0.5, goal)
    phase = wrong / sample
    if goal.finite:
        failure = (goal.eps_sec / 4) ** 2 / 2
        phase += min(serfling(failure, kept, sample), hoeffding(failure, phase, kept, sample))
    return from_phase(kept, phase, told, goal)


def from_phase(kept: float, phase: float, told: float, goal: Goal) -> Secret:
    """Return the length of a block of single qubits with at most that phase error rate."""
    phase = min(max(phase, 0.0), 0.5)
    hashing = 2 * math.log2(1 / goal.eps_sec) if goal.finite else 0.0
    return secret(kept * (1 - entropy(phase)) - told - hashing, phase, goal)


def secret(bits: float, phase: float, goal: Goal, s0: float = 0.0, s1: float = 0.0) -> Secret:
    """Return a result in whole bits, none instead of less than none."""
    return Secret(max(0, math.floor(bits)), phase, goal.epsilon, goal.security, s0, s1)


def serfling(failure: float, rest: float, sample: float) -> float:
    """Return how much the error rate of the rest may exceed that of a random sample, but for a probability `failure`.

    Serfling, Ann. Statist. 2, 39 (1974), as in Tomamichel et al., supplementary eqs. S10 to S15.
    """
    population = rest + sample
    return math.sqrt(population / (rest * sample) * (sample + 1) / sample * math.log(1 / failure) / 2)


def hoeffding(failure: float, rate: float, rest: float, sample: float) -> float:
    """Return the same for a sample of a known error rate.

    P(sample at most at `rate`) <= exp(-sample D(rate | p)), p the error rate of all, D the relative entropy: Hoeffding,
    J. Am. Stat. Assoc. 58, 13 (1963), theorems 1 and 4 (drawing without replacement included).
    """
    return _deviation(failure, rate, rest, sample, 0.0)


def sampling(failure: float, rate: float, rest: float, sample: float) -> float:
    """Return the same as the decoy proofs have it, `gamma`, but not less than the exponent gives that it approximates.

    That is exp(-sample D(rate | p) - rest D(rate + t | p)). `gamma` alone is no bound where the sample has few errors
    (under some 30 for a failure of 5e-12); a test compares both with the exact tail.
    """
    return max(gamma(failure, rate, rest, sample), _deviation(failure, rate, rest, sample, rest))


def gamma(failure: float, rate: float, rest: float, sample: float) -> float:
    """Return gamma of Lim et al., PRA 89, 022307 (2014), eq. B2 (with eps_sec / 21 for `failure`: eq. 5).

    From Fung, Ma, Chau, PRA 81, 012318 (2010), by an approximation of the hypergeometric distribution. 0 at rate 0.
    """
    if not 0 < rate < 1:
        return 0.0
    odds = (rest + sample) / (rest * sample)
    spread = (1 - rate) * rate
    return math.sqrt(max(0.0, odds * spread / math.log(2) * math.log2(odds / spread / failure**2)))


def _deviation(failure: float, rate: float, rest: float, sample: float, weight: float) -> float:
    """Return t where sample D(rate | p) + weight D(rate + t | p) reaches ln(1 / failure), or the most that t can be."""
    low, high = 0.0, 1 - rate
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        overall = (sample * rate + rest * (rate + middle)) / (rest + sample)
        exponent = sample * _divergence(rate, overall) + weight * _divergence(rate + middle, overall)
        low, high = (middle, high) if exponent < -math.log(failure) else (low, middle)
    return high


def _divergence(one: float, other: float) -> float:
    """Return D(one | other) in nats, of two probabilities."""
    pairs = ((one, other), (1 - one, 1 - other))
    return sum(p * math.log(p / q) if p > 0 < q else 0.0 for p, q in pairs)
