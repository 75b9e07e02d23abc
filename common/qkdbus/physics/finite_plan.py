"""What a block of decoy BB84 is expected to give: the formula beside a simulation, and a way to choose block sizes."""

from __future__ import annotations

import math

from .decoy import E0
from .entropy import entropy, odd
from .finite import ASYMPTOTIC, FINITE, Goal, Secret
from .finite_decoy import Counts, DecoyCounts, decoy
from .setup import PulseSetup

VERIFICATION_BITS = 64


def expected_counts(setup: PulseSetup, n_z: float) -> DecoyCounts:
    """Return the counts, on average, of a block of `n_z` key bits. Dead time makes them slower, not different."""
    n_x = n_z * (1 / setup.p_z_source - 1) * (1 / setup.p_z_receiver - 1)
    still = odd(setup.misalignment, setup.depolarising / 2)
    clicks = [p * (1 - (1 - setup.dark_probability) * math.exp(-setup.eta * k)) for k, p in _chosen(setup)]
    key, test = (_wrong(setup, error) for error in (still, odd(still, setup.dephasing)))
    return DecoyCounts(
        n_z=_share(n_z, clicks, clicks),
        n_x=_share(n_x, clicks, clicks),
        m_x=_share(n_x, test, clicks),
        m_z=_share(n_z, key, clicks),
    )


def expected_length(setup: PulseSetup, n_z: float, efficiency: float, goal: Goal = FINITE) -> Secret:
    """Return what a block of `n_z` key bits is expected to give with a reconciliation efficiency f >= 1.

    ZeroDivisionError where nothing ever clicks.
    """
    counts = expected_counts(setup, n_z)
    qber = sum(counts.m_z) / n_z if n_z else 0.0
    told = efficiency * entropy(qber) * n_z + VERIFICATION_BITS
    return decoy(counts, setup.intensities, setup.probabilities, told, goal)


def block_size(setup: PulseSetup, efficiency: float, share: float, largest: float, goal: Goal = FINITE) -> float:
    """Return the fewest key bits, up to `largest`, of which finite statistics leave a `share` of the asymptotic length.

    `largest` where that takes more, or where there is no key at all.
    """
    size = min(1e3, largest)
    while size < largest:
        most = expected_length(setup, size, efficiency, ASYMPTOTIC).length
        if most and expected_length(setup, size, efficiency, goal).length >= share * most:
            return size
        size = min(largest, size * 2**0.25)
    return size


def _chosen(setup: PulseSetup) -> list[tuple[float, float]]:
    return list(zip(setup.intensities, setup.probabilities, strict=True))


def _wrong(setup: PulseSetup, error: float) -> list[float]:
    """Return errors per pulse by intensity, where light alone has the error rate `error`."""
    dark = E0 * setup.dark_probability
    light = [(math.exp(-setup.eta * k), p) for k, p in _chosen(setup)]
    return [p * (error * (1 - nothing) + dark * nothing) for nothing, p in light]


def _share(total: float, parts: list[float], whole: list[float]) -> Counts:
    return tuple(total * part / sum(whole) for part in parts)
