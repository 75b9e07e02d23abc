"""Decoy-state BB84 in closed form: gains, error rates, bounds on single photons, asymptotic key rate.

Names as in Ma, Qi, Zhao, Lo, Phys. Rev. A 72, 012326 (2005): mu the signal's mean photon number, nu the decoy's, eta
the probability that a photon sent is detected, Q a gain (clicks per pulse), E an error rate, Y_n the yield of pulses
of n photons, e_n their error rate. All rates are per pulse, and hold for keys of infinite length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .entropy import entropy

E0 = 0.5  # error rate of clicks without light


@dataclass(frozen=True, slots=True)
class Optics:
    """Channel and receiver of the formulas.

    Attributes:
        eta: that a photon sent is detected.
        dark: Y0, that a pulse without photons clicks all the same.
        wrong: e_d, that a photon is seen in the wrong detector.
    """

    eta: float
    dark: float
    wrong: float

    def gain(self, mu: float) -> float:
        """Return Q_mu (eq. 8): clicks per pulse of mean photon number mu."""
        return min(1.0, self.dark - math.expm1(-self.eta * mu))

    def error(self, mu: float) -> float:
        """Return E_mu (eq. 9): share of wrong outcomes among these clicks. ZeroDivisionError where nothing clicks."""
        return (E0 * self.dark - self.wrong * math.expm1(-self.eta * mu)) / self.gain(mu)

    def single(self) -> Single:
        """Return Y1 and e1 (eqs. 6 and 7) as infinitely many decoy intensities would tell them."""
        yield_ = self.dark + self.eta
        return Single(yield_, (E0 * self.dark + self.wrong * self.eta) / yield_)


@dataclass(frozen=True, slots=True)
class Single:
    """What is known of pulses with one photon: the least yield, and the highest error rate."""

    yield_: float
    error: float


def vacuum_and_weak(mu: float, nu: float, gains: tuple[float, float], error_nu: float, dark: float) -> Single:
    """Return the bounds of the vacuum + weak decoy method (eqs. 21 and 25 with nu_2 = 0).

    Args:
        mu, nu: mean photon numbers of signal and decoy, 0 < nu < mu.
        gains: Q_mu and Q_nu, as measured.
        error_nu: E_nu, as measured.
        dark: Y0, as measured with vacuum pulses.

    Where statistics or an attack leave no room for single photons, the yield is 0 and the error 1/2.
    """
    signal, weak = gains[0] * math.exp(mu), gains[1] * math.exp(nu)
    square = (nu / mu) ** 2
    yield_ = mu / (mu * nu - nu**2) * (weak - signal * square - (1 - square) * dark)
    if yield_ <= 0:
        return Single(0.0, 0.5)
    error = (error_nu * weak - E0 * dark) / (yield_ * nu)
    return Single(yield_, min(max(error, 0.0), 0.5))


def rate(mu: float, gain: float, error: float, single: Single, q: float = 0.5, f: float = 1.22) -> float:
    """Return secret bits per pulse (eq. 1, after GLLP): q (Q1 (1 - h(e1)) - Q_mu f h(E_mu)). Negative beyond reach.

    Args:
        mu: mean photon number of the signal.
        gain, error: Q_mu and E_mu.
        single: of the pulses with one photon.
        q: share of the signals that sifting keeps, 1/2 in BB84 with equal bases.
        f: what error correction tells, over the Shannon limit.
    """
    gain1 = single.yield_ * mu * math.exp(-mu)
    return q * (gain1 * (1 - entropy(single.error)) - gain * f * entropy(error))


def rate_infinite(optics: Optics, mu: float, q: float = 0.5, f: float = 1.22) -> float:
    """Return secret bits per pulse when decoys of infinitely many intensities are sent."""
    return rate(mu, optics.gain(mu), optics.error(mu), optics.single(), q, f)


def rate_vacuum_and_weak(optics: Optics, mu: float, nu: float, q: float = 0.5, f: float = 1.22) -> float:
    """Return secret bits per pulse with decoys of mean photon number nu and 0."""
    gains = optics.gain(mu), optics.gain(nu)
    single = vacuum_and_weak(mu, nu, gains, optics.error(nu), optics.dark)
    return rate(mu, gains[0], optics.error(mu), single, q, f)


def photon_share(n: int, intensities: Sequence[float], probabilities: Sequence[float]) -> float:
    """Return tau_n: the probability that a pulse of any intensity has n photons (Lim et al., PRA 89, 022307 (2014))."""
    terms = zip(intensities, probabilities, strict=True)
    return sum(p * math.exp(-k) * k**n for k, p in terms) / math.factorial(n)
