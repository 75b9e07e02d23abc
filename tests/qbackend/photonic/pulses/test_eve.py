"""Eavesdroppers in a channel of weak pulses: what each does to gains and error rates, and what not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import cos, exp, factorial, radians, sin
from typing import Any

import numpy as np
import pytest

from qkdbus.errors import Refused
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.emulators.port import X, Z

SIGMAS = 4.5
Gys = Callable[[float], PulseSetup]


def gain(setup: PulseSetup, mu: float) -> float:
    return 1 - (1 - setup.dark_probability) * exp(-setup.eta * mu)


def disturbed(state: float, angles: tuple[float, ...]) -> float:
    """Return P(the wrong outcome) of a state that was measured at one of her angles on its way, in its own basis."""
    right = [cos(radians(state - angle)) ** 2 for angle in angles]
    return sum(2 * good * (1 - good) for good in right) / len(angles)


@pytest.mark.parametrize("share", [0.1, 0.44, 1.0])
async def test_intercept_resend_gives_a_quarter_of_its_share(pulse_bench: Any, share: float) -> None:
    seen = await pulse_bench(eve=Eavesdropper(intercept_resend=share)).run(400_000)
    for basis in (Z, X):
        assert abs(seen.qber_off(share / 4, basis=basis)) < SIGMAS
        assert abs(seen.qber_off(0.5, basis=basis, same=False)) < SIGMAS


@pytest.mark.parametrize("bases", [(0,), (45,), (90, 135), (22.5,), (10, 100, -30), (-22.5, 67.5, 0)])
@pytest.mark.parametrize("dephasing", [0.0, 0.1])
async def test_at_any_angle_she_disturbs_as_born_says(
    pulse_bench: Any, bright: PulseSetup, bases: tuple[float, ...], dephasing: float
) -> None:
    """Dephasing behind her turns her angle t into -t; in Z that changes nothing, in X cos 2(45 - t) its sign."""
    bench = pulse_bench(replace(bright, dephasing=dephasing), Eavesdropper(intercept_resend=0.5, bases=bases))
    seen = await bench.run(200_000)
    hers = {Z: disturbed(0, bases), X: disturbed(45, bases)}
    in_x = 0.5 * hers[X] * (1 - dephasing) + dephasing * (1 - 0.5 * hers[X])
    for basis, expected in ((Z, 0.5 * hers[Z]), (X, in_x)):
        if expected == 0:
            assert seen.qber(basis=basis) == 0
        else:
            assert abs(seen.qber_off(expected, basis=basis)) < SIGMAS


async def test_her_errors_and_those_of_the_link_add_up(pulse_bench: Any, bright: PulseSetup) -> None:
    """e = (1 - r) e' + r (1/4 + e'/2), for errors e' that come after her."""
    bench = pulse_bench(replace(bright, misalignment=0.03), Eavesdropper(intercept_resend=0.3))
    seen = await bench.run(400_000)
    assert abs(seen.qber_off(0.7 * 0.03 + 0.3 * (0.25 + 0.015))) < SIGMAS


async def test_dark_counts_never_passed_her(pulse_bench: Any, bright: PulseSetup) -> None:
    """At 0 degrees she disturbs nothing in Z: the dark counts, most of the clicks, err there as they did before."""
    setup = replace(bright, intensities=(0.25, 0.25), dark_probability=0.5)
    for bases in ((0,), (0, 90, 180.0, 1e-9)):  # in the second case her states have codes
        seen = await pulse_bench(setup, Eavesdropper(intercept_resend=1.0, bases=bases)).run(200_000)
        dark = 1 - (1 - exp(-0.25)) / gain(setup, 0.25)
        assert abs(seen.qber_off(dark / 2, basis=Z)) < SIGMAS
        assert abs(seen.qber_off(0.5, basis=X)) < SIGMAS


async def test_intercept_resend_leaves_the_gains(pulse_bench: Any, gys: Gys) -> None:
    seen = await pulse_bench(gys(50), Eavesdropper(intercept_resend=1.0)).run(200_000)
    for intensity in (0, 1, 2):
        assert abs(seen.gain_off(intensity, gain(seen.setup, seen.setup.intensities[intensity]))) < SIGMAS


async def test_too_many_angles_are_refused(pulse_bench: Any) -> None:
    eve = Eavesdropper(intercept_resend=1.0, bases=tuple(np.linspace(-90, 90, 130)))
    with pytest.raises(Refused):
        await pulse_bench(eve=eve).run(100)


def split(setup: PulseSetup, mu: float, several: float, single: float) -> float:
    """Return the gain of pulses of which she lets pass so much, summed photon by photon."""
    passed = 0.0
    for n in range(1, 40):
        chance = mu**n * exp(-mu) / factorial(n)
        left, allowed = (n - 1, several) if n > 1 else (1, single)
        passed += chance * allowed * (1 - (1 - setup.efficiency) ** left)
    return 1 - (1 - setup.dark_probability) * (1 - passed)


@pytest.mark.parametrize("km", [20, 100])
async def test_photon_number_splitting_leaves_the_signal_and_shifts_the_decoy(
    pulse_bench: Any, gys: Gys, km: float
) -> None:
    """At 20 km she has to let some single photons pass; at 100 km not even all of the others."""
    setup, eve = gys(km), Eavesdropper(photon_number_splitting=1.0)
    seen = await pulse_bench(setup, eve).run(400_000)
    signal, decoy = setup.intensities[:2]
    assert abs(seen.gain_off(0, gain(setup, signal))) < SIGMAS
    wanted = gain(setup, signal)
    full, none = split(setup, signal, 1, 1), split(setup, signal, 1, 0)
    assert (none < wanted < full) == (km == 20)
    if km == 20:
        several, single = 1.0, (wanted - none) / (full - none)
    else:
        dark = setup.dark_probability
        several, single = (wanted - dark) / (none - dark), 0.0
    shifted = split(setup, decoy, several, single)
    assert abs(seen.gain_off(1, shifted)) < SIGMAS
    assert abs(seen.gain_off(1, gain(setup, decoy))) > 30


async def test_splitting_a_share_of_the_pulses_shifts_the_decoy_by_that_share(pulse_bench: Any, gys: Gys) -> None:
    setup = gys(100)
    gains = []
    for share in (0.0, 0.5, 1.0):
        seen = await pulse_bench(setup, Eavesdropper(photon_number_splitting=share)).run(400_000)
        assert abs(seen.gain_off(0, gain(setup, setup.intensities[0]))) < SIGMAS
        gains.append(seen.clicked(1) / seen.sent)
    assert gains[1] == pytest.approx((gains[0] + gains[2]) / 2, rel=0.05)


async def test_a_beam_splitter_shows_nowhere_but_she_can_read(pulse_bench: Any, gys: Gys) -> None:
    setup = gys(50)
    bench = pulse_bench(setup, Eavesdropper(beam_splitting=1.0))
    seen, quiet = await bench.run(200_000), await pulse_bench(setup).run(200_000)
    assert np.array_equal(seen.clicks.bits, quiet.clicks.bits)
    assert np.array_equal(seen.source.intensities, quiet.source.intensities)
    lost = 1 - 10 ** (-setup.loss_db / 10)
    expected = sum(seen.clicked(k) * (1 - exp(-lost * mu)) for k, mu in enumerate(setup.intensities))
    assert bench.emulators[0].tapped() == pytest.approx(expected, rel=0.02)


async def test_a_splitter_of_photon_numbers_reads_all_that_had_a_photon_to_spare(pulse_bench: Any, gys: Gys) -> None:
    bench = pulse_bench(gys(100), Eavesdropper(photon_number_splitting=1.0))
    seen = await bench.run(200_000)
    signals = seen.clicked(0)
    assert 0.9 * signals < bench.emulators[0].tapped() < seen.clicks.count  # dark counts aside


async def test_jamming_makes_a_share_of_the_light_random(pulse_bench: Any, gys: Gys) -> None:
    seen = await pulse_bench(gys(0), Eavesdropper(jam=0.3)).run(200_000)
    assert abs(seen.gain_off(0, gain(seen.setup, 0.48))) < SIGMAS
    dark = 1 - (1 - exp(-seen.setup.eta * 0.48)) / gain(seen.setup, 0.48)
    assert abs(seen.qber_off(0.5 * dark + (1 - dark) * (0.15 + 0.7 * 0.033), intensity=0)) < SIGMAS


async def test_a_cut_channel_leaves_dark_counts(pulse_bench: Any, gys: Gys) -> None:
    seen = await pulse_bench(gys(0), Eavesdropper(cut=True)).run(200_000, batches=5)
    for intensity in (0, 1, 2):
        assert abs(seen.gain_off(intensity, seen.setup.dark_probability)) < SIGMAS
    assert abs(seen.qber_off(0.5)) < SIGMAS


async def test_she_comes_and_goes_between_batches(pulse_bench: Any) -> None:
    here = [Eavesdropper()]
    bench = pulse_bench(eve=lambda: here[0])
    qbers = []
    for eve in (Eavesdropper(), Eavesdropper(intercept_resend=1.0), Eavesdropper()):
        here[0] = eve
        qbers.append((await bench.run(20_000)).qber())
    assert qbers[0] == qbers[2] == 0 and qbers[1] == pytest.approx(0.25, abs=0.02)


def test_angles_that_the_tests_use_disturb_as_known() -> None:
    assert disturbed(0, (22.5,)) == pytest.approx(0.25)
    assert disturbed(0, (0, 45)) == pytest.approx(0.25)
    assert disturbed(0, (30,)) == pytest.approx(2 * sin(radians(30)) ** 2 * cos(radians(30)) ** 2)
