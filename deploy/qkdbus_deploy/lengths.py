"""At which lengths to look at a link: up to where the formulas see no more key, and a step beyond."""

from __future__ import annotations

import math

from qkdbus.network.presets import PRESETS

from .link_rate import Sweep

FARTHEST = 20_000.0  # km: half round the earth
LONGEST_BLOCK = 3e6  # s of link time: a month
STEPS = 8  # up to the cut-off, about
NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_HALVINGS = 50


def cutoff_km(sweep: Sweep, *, endless: bool = False) -> float:
    """Return the length at which the formulas see no more key; 0 where there never is one."""
    near, far = 0.0, FARTHEST
    if sweep.formula(far, endless=endless).secret_hz > 0:
        return far
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        if sweep.formula(middle, endless=endless).secret_hz > 0:
            near = middle
        else:
            far = middle
    return near


def lengths(sweep: Sweep) -> list[float]:
    """Return lengths in km in even steps up to the cut-off, one beyond it, and that of the published system.

    Without those at which one block takes so long that nobody would wait for it, be it on a clock that hurries.
    """
    preset, reach = PRESETS[sweep.preset], cutoff_km(sweep)
    if not reach:
        return [preset.length_km]
    nearest = 0.0 if preset.db_per_km is not None else preset.length_km / 2  # a satellite is never at 0 km
    step = _nice((reach - nearest) / STEPS)
    first = math.ceil(nearest / step)
    found = {step * number for number in range(first, math.floor(reach / step) + 2)}
    found |= {preset.length_km} if nearest <= preset.length_km < reach else set()
    return sorted(km for km in found if sweep.block_s(km) <= LONGEST_BLOCK)


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(nice for nice in NICE if nice * power >= step * (1 - 1e-9))
