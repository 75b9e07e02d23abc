"""Entangled pairs in closed form: correlations, CHSH, coincidences, and key rates of BBM92.

Polariser angles in degrees; the state is |Phi+>, so equal angles agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .entropy import entropy

E0 = 0.5  # error rate of outcomes that have nothing to do with each other
TSIRELSON = 2 * math.sqrt(2)
ALICE, BOB = (0.0, 45.0), (22.5, 67.5)  # whose correlations make S in E91


@dataclass(frozen=True, slots=True)
class Tap:
    """Intercept-resend: Eve measures a share of the signals at one of her angles, and sends on what she saw."""

    share: float = 0.0
    angles: tuple[float, ...] = (0.0, 45.0)


NOBODY = Tap()


def correlation(a: float, b: float, dephasing: float = 0.0, tap: Tap = NOBODY) -> float:
    """Return E(a, b) = P(equal) - P(different) of a pure pair measured at two polariser angles.

    cos 2(a - b) without noise. Dephasing acts on the half that travels: it flips X with that probability, not Z. What
    Eve sends on is a product state: cos 2(a - t) cos 2(t - b) for each of her angles t.
    """
    along, across = _cos2(a) * _cos2(b), _sin2(a) * _sin2(b)
    pure = along + (1 - 2 * dephasing) * across
    if not tap.share:
        return pure
    seen = [_cos2(a - t) * (_cos2(t) * _cos2(b) + (1 - 2 * dephasing) * _sin2(t) * _sin2(b)) for t in tap.angles]
    return (1 - tap.share) * pure + tap.share * sum(seen) / len(seen)


def chsh(visibility: float, dephasing: float = 0.0, tap: Tap = NOBODY) -> float:
    """Return S = E(A1,B1) - E(A1,B3) + E(A3,B1) + E(A3,B3) of a Werner state: 2 sqrt(2) V when nobody interferes.

    Clauser, Horne, Shimony, Holt, PRL 23, 880 (1969). Intercept-resend of everything leaves sqrt(2) V, whatever
    Eve's angles: no product states give more than 2.
    """
    signs = ((1, -1), (1, 1))
    return visibility * sum(
        signs[i][j] * correlation(a, b, dephasing, tap) for i, a in enumerate(ALICE) for j, b in enumerate(BOB)
    )


def chsh_error(correlations: Sequence[float], counts: Sequence[int]) -> float:
    """Return the standard error of S: sqrt(sum (1 - E^2) / N) over its four correlations and their counts."""
    return math.sqrt(sum((1 - e * e) / n for e, n in zip(correlations, counts, strict=True)))


def phase_error(s: float, qber: float) -> float:
    """Return the error rate that the key bases' conjugates would show: 1 - S / (2 sqrt(2)) - e, within 0 and 1/2.

    E91's key bases are 22.5 degrees apart, so neither checks the other, and a QBER alone proves nothing: Eve at 33.75
    degrees makes 7.3 % and knows most of the key. But S = sqrt(2) (E(Z,Z) + E(X,X)), a sum that turning both
    polarisers by the same angle leaves as it is; so E(key) + E(conjugate) = S / sqrt(2) for each key basis. Trusted
    devices are presumed, and pairs that are qubits.
    """
    return min(max(1 - s / TSIRELSON - qber, 0.0), 0.5)


def qber_of(visibility: float) -> float:
    """Return the QBER of a Werner state: (1 - V) / 2."""
    return (1 - visibility) / 2


def coincidences(
    rate: float, eta: tuple[float, float], dark: tuple[float, float], window: float
) -> tuple[float, float]:
    """Return true and accidental coincidences per s.

    Of a continuously pumped source, in slots as long as the window: accidental where both ends click for reasons that
    have nothing to do with each other, singles x singles x window as long as that is small; true otherwise.

    Args:
        rate: pairs per s.
        eta: that a photon is detected, at each end.
        dark: counts per s without light, at each end.
        window: coincidence window in s.
    """
    one, other = (rate * share + noise for share, noise in zip(eta, dark, strict=True))
    both = rate * eta[0] * eta[1]
    apart = math.expm1(-one * window) * math.expm1(-other * window)
    together = -math.expm1(-both * window) * math.exp((both - one - other) * window)
    return together / window, apart / window


@dataclass(frozen=True, slots=True)
class PairOptics:
    """Both arms of the formulas of Ma, Fung, Lo, PRA 76, 012307 (2007): a pulsed source of down-converted pairs.

    Attributes:
        eta: that a photon is detected, at each end.
        dark: Y0 of each end.
        wrong: e_d.
    """

    eta: tuple[float, float]
    dark: tuple[float, float]
    wrong: float

    def gain(self, mu: float) -> float:
        """Return Q (eq. 9): coincidences per pump pulse; mu = 2 lambda is the mean number of pairs.

        Written as a sum of positive terms, for the paper's 1 - ... - ... + ... cancels at high loss: both ends see
        light, or one sees light and the other a dark count, or both see dark counts.
        """
        (one, other), (dark1, dark2), lam = self.eta, self.dark, mu / 2
        a, b = one * lam, other * lam
        lit, lit2 = a * (2 + a) / (1 + a) ** 2, b * (2 + b) / (1 + b) ** 2  # one end sees light, whatever the other
        tied = (a * b + a * other) / ((1 + a) * (1 + b))  # that they come in pairs
        light = lit * lit2 + tied * (2 - tied) / (1 + a + b - a * other) ** 2
        return (
            (1 - dark1) * (1 - dark2) * light + (1 - dark1) * dark2 * lit + (1 - dark2) * dark1 * lit2 + dark1 * dark2
        )

    def error(self, mu: float) -> float:
        """Return E (eq. 10): share of wrong outcomes among these coincidences."""
        (one, other), lam, gain = self.eta, mu / 2, self.gain(mu)
        both = 1 + one * lam + other * lam - one * other * lam
        true = 2 * (E0 - self.wrong) * one * other * lam * (1 + lam)
        return E0 - true / ((1 + one * lam) * (1 + other * lam) * both) / gain

    def rate(self, mu: float, q: float = 0.5, f: float = 1.22) -> float:
        """Return secret bits per pump pulse (eq. 12): q Q (1 - f h(E) - h(E)). Negative beyond reach."""
        return bbm92(self.gain(mu), self.error(mu), q, f)


def bbm92(coincident: float, qber: float, q: float = 0.5, f: float = 1.1) -> float:
    """Return the secret key rate of BBM92 out of coincidences (in their unit): q C (1 - f h(e) - h(e))."""
    return q * coincident * (1 - (1 + f) * entropy(qber))


def _cos2(angle: float) -> float:
    return math.cos(2 * math.radians(angle))


def _sin2(angle: float) -> float:
    return math.sin(2 * math.radians(angle))
