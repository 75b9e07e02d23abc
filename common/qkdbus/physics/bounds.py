"""What no link can exceed (PLOB), and how far a rate reaches."""

from __future__ import annotations

import math
from collections.abc import Callable


def plob(eta: float) -> float:
    """Return the most secret bits per use that a channel of transmittance `eta` carries without a repeater.

    -log2(1 - eta): Pirandola, Laurenza, Ottaviani, Banchi, Nat. Commun. 8, 15043 (2017), eq. 1. Infinite at eta = 1.

    Raises:
        ValueError: eta is no probability.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"{eta:g} is no transmittance")
    return math.inf if eta == 1 else -math.log1p(-eta) / math.log(2)


def cut_off(rate: Callable[[float], float], low: float, high: float, within: float = 1e-3) -> float:
    """Return where a rate ceases to be positive, by bisection between two places (km or dB, say).

    Raises:
        ValueError: the rate is not positive at `low`, or still positive at `high`.
    """
    if rate(low) <= 0 or rate(high) > 0:
        raise ValueError(f"no cut-off between {low:g} and {high:g}")
    while high - low > within:
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) > 0 else (low, middle)
    return (low + high) / 2
