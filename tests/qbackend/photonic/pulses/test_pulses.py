"""Weak pulses on a photonic link: gains and error rates are those of the closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp
from typing import Any

import numpy as np
import pytest

from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.emulators.port import X, Z

SNSPD = PulseSetup(2.5e9, (0.5, 0.1, 0.0), (0.6, 0.3, 0.1), 0.9, 0.8, 10.0, 0.7, 1e-4, misalignment=0.0035)
SIGMAS = 4.5


def gain(setup: PulseSetup, mu: float) -> float:
    return 1 - (1 - setup.dark_probability) * exp(-setup.eta * mu)


def qber(setup: PulseSetup, mu: float, wrong: float) -> float:
    """Error rate where a photon errs with probability `wrong`, and a dark count half of the time."""
    light = 1 - exp(-setup.eta * mu)
    return (wrong * light + 0.5 * (gain(setup, mu) - light)) / gain(setup, mu)


def off(count: int, total: int, p: float) -> float:
    return float((count - total * p) / np.sqrt(total * p * (1 - p)))


@pytest.mark.parametrize(("km", "known"), [(0, 0.0330), (50, 0.0334), (100, 0.0376)])
async def test_gains_and_error_rates_of_gys_are_those_of_the_closed_form(
    pulse_bench: Any, gys: Callable[[float], PulseSetup], km: float, known: float
) -> None:
    # At 100 km ten minutes of link time, the longest batch, hold some 1e5 clicks.
    seen = await pulse_bench(gys(km)).run(400_000, batches=2)
    for intensity, mu in enumerate(seen.setup.intensities):
        assert abs(seen.gain_off(intensity, gain(seen.setup, mu))) < SIGMAS
        if mu:
            assert abs(seen.qber_off(qber(seen.setup, mu, 0.033), intensity=intensity)) < SIGMAS
    assert seen.qber(intensity=0) == pytest.approx(known, abs=0.0025)


async def test_gains_and_error_rates_of_a_fast_link_are_those_of_the_closed_form(pulse_bench: Any) -> None:
    seen = await pulse_bench(SNSPD).run(1_000_000)
    for intensity, mu in enumerate(SNSPD.intensities):
        assert abs(seen.gain_off(intensity, gain(SNSPD, mu))) < SIGMAS
        for basis in (Z, X):
            assert abs(seen.qber_off(qber(SNSPD, mu, 0.0035), intensity=intensity, basis=basis)) < SIGMAS
    assert seen.clicked(2) > 300  # dark counts in the vacuum


async def test_settings_have_the_probabilities_of_the_setup(pulse_bench: Any) -> None:
    """And none depends on another."""
    seen = await pulse_bench(SNSPD).run(1_000_000)
    source, clicks = seen.source, seen.clicks
    for intensity in (0, 1, 2):
        of_it = source.intensities == intensity
        count = int(of_it.sum())
        for basis in (Z, X):
            here = of_it & (source.bases == basis)
            p_z = SNSPD.p_z_source
            assert abs(off(int(here.sum()), count, p_z if basis == Z else 1 - p_z)) < SIGMAS
            assert abs(off(int((here & (source.bits == 1)).sum()), int(here.sum()), 0.5)) < SIGMAS
            assert abs(off(int((here & (clicks.bases == Z)).sum()), int(here.sum()), 0.8)) < SIGMAS


async def test_outcomes_in_the_other_basis_tell_nothing(pulse_bench: Any) -> None:
    seen = await pulse_bench().run(400_000)
    for basis in (Z, X):
        assert abs(seen.qber_off(0.5, basis=basis, same=False)) < SIGMAS
        assert seen.qber(basis=basis) == 0


@pytest.mark.parametrize(("depolarising", "dephasing"), [(0.06, 0.0), (0.0, 0.04), (0.2, 0.3)])
async def test_noise_on_the_way_errs_as_it_should(
    pulse_bench: Any, bright: PulseSetup, depolarising: float, dephasing: float
) -> None:
    """Depolarising errs half of the time in any basis, dephasing in X only; misalignment comes on top."""
    wrong = 0.01
    setup = replace(bright, depolarising=depolarising, dephasing=dephasing, misalignment=wrong)
    seen = await pulse_bench(setup).run(400_000)
    turned = dephasing + wrong - 2 * dephasing * wrong
    assert abs(seen.qber_off(depolarising / 2 + (1 - depolarising) * wrong, basis=Z)) < SIGMAS
    assert abs(seen.qber_off(depolarising / 2 + (1 - depolarising) * turned, basis=X)) < SIGMAS


async def test_a_batch_holds_about_as_many_clicks_as_were_asked_for(
    pulse_bench: Any, gys: Callable[[float], PulseSetup]
) -> None:
    bench = pulse_bench(gys(50))
    for clicks in (1, 100, 50_000):
        counts = [(await bench.run(clicks)).clicks.count for _ in range(20)]
        assert abs(sum(counts) - 20 * clicks) < SIGMAS * (20 * clicks) ** 0.5
    assert (await bench.run(10**9)).clicks.count < 1.1e6  # a message has its bounds


@pytest.mark.parametrize(("intensities", "probabilities"), [((0.5, 0.1), (0.8, 0.2)), ((0.3,), (1.0,))])
async def test_two_intensities_or_one_are_enough(
    pulse_bench: Any, intensities: tuple[float, ...], probabilities: tuple[float, ...]
) -> None:
    setup = replace(SNSPD, intensities=intensities, probabilities=probabilities)
    seen = await pulse_bench(setup).run(200_000)
    for intensity, mu in enumerate(intensities):
        assert abs(seen.gain_off(intensity, gain(setup, mu))) < SIGMAS
    assert set(np.unique(seen.source.intensities)) == set(range(len(intensities)))
