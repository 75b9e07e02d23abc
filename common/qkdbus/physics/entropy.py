"""Binary entropy, and the probability that errors add up."""

from __future__ import annotations

import math


def entropy(p: float) -> float:
    """Return the binary entropy h(p) in bits; 0 at p = 0 and p = 1.

    Raises:
        ValueError: p is no probability.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{p:g} is no probability")
    return 0.0 if p in (0, 1) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def odd(*flips: float) -> float:
    """Return the probability that an odd number of independent flips happens: the error that they make together."""
    bias = 1.0
    for flip in flips:
        bias *= 1 - 2 * flip
    return (1 - bias) / 2


def one_way_share(bit_error: float, phase_error: float, efficiency: float) -> float:
    """Return 1 - f h(e_bit) - h(e_phase): secret per sifted bit (Shor, Preskill, PRL 85, 441 (2000)); not below 0.

    A phase error of 1/2 or more leaves nothing.
    """
    return max(0.0, 1 - efficiency * entropy(bit_error) - entropy(min(phase_error, 0.5)))
