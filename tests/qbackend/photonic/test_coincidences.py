"""How many entangled pairs a photonic link detects, and when."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from qkdbus.network.photonic import Eavesdropper
from qkdbus.network.presets import PRESETS
from qkdbus.physics.entangled import PairOptics, Tap
from qkdbus.physics.expected import Terms, expected
from qkdbus.physics.setup import PairSetup
from qkdbus_qbackend.emulators.photonic.coincidences import Coincidences, way
from qkdbus_qbackend.protocols.chsh import Correlations
from qkdbus_qbackend.protocols.sifting import Sifted

NOBODY = Eavesdropper()
LOSSLESS = PairSetup(1e6, (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 1e-15)
MALTA, AUSTRIA = (cast(PairSetup, PRESETS[name].setup) for name in ("wengerowsky-2019", "neumann-2022"))
NOISY = PairSetup(1e8, (3, 7), (0.5, 0.6), (1e5, 3e5), 1e-9, visibility=0.93)


def within(seen: float, expected: float, count: int, sigmas: float = 4.5) -> bool:
    return abs(seen - expected) <= sigmas * math.sqrt(max(expected * (1 - expected), 0) / count) + 1e-12


def qber(ours: Sifted, theirs: Sifted) -> float:
    return float(np.mean(ours.bits != theirs.bits))


def test_rates_are_those_of_neumann_2021_for_short_windows() -> None:
    """CC^t = B eta_A eta_B and CC^acc = S_A S_B t."""
    for setup in (MALTA, AUSTRIA):
        rates, (one, other), (dark, dark2) = Coincidences.of(setup), setup.eta, setup.dark_rate_hz
        singles = setup.rate_hz * one + dark, setup.rate_hz * other + dark2
        assert rates.pairs == pytest.approx(setup.rate_hz * one * other, rel=1e-3)
        assert rates.accidental == pytest.approx(singles[0] * singles[1] * setup.window_s, rel=1e-3)


def test_rates_agree_with_ma_fung_lo_to_first_order() -> None:
    """Their thermal source and ours have the same coincidences where pairs are rare."""
    mu, eta = 2e-6, (0.1, 0.03)
    ours = Coincidences.of(PairSetup(mu * 1e9, (0, 0), eta, (0, 0), 1e-9))
    assert ours.total * 1e-9 == pytest.approx(PairOptics(eta, (0, 0), 0).gain(mu), rel=1e-3)


@pytest.mark.parametrize("tap", [Tap(), Tap(0.3), Tap(1.0, (22.5, 45.0)), Tap(0.7, (10.0,))], ids=str)
@pytest.mark.parametrize("protocol", ["bbm92", "e91", "e91-same-bases"])
async def test_what_is_drawn_is_what_theory_says_of_the_setup(pair_bench: Any, protocol: str, tap: Tap) -> None:
    eve = Eavesdropper(intercept_resend=tap.share, bases=tap.angles)
    setup = replace(NOISY, misalignment=0.01, depolarising=0.03, dephasing=0.05, dead_time_s=1e-8, detectors=2)
    count = 100_000
    theory = expected(setup, protocol, Terms(tap=tap))
    bench = pair_bench(setup, eve)
    ours, theirs = await bench.exchange(protocol, count)
    assert abs(bench.source.link_time * theory.detected_hz / count - 1) < 4.5 / math.sqrt(count)
    assert within(len(ours.bits) / count, theory.sifted_hz / theory.detected_hz, count)
    assert within(qber(ours, theirs), theory.qber, len(ours.bits))
    if isinstance(ours.evidence, Correlations):
        assert abs(ours.evidence.s - theory.s) < 4.5 * ours.evidence.error


def test_no_setup_has_more_coincidences_than_windows_or_than_singles() -> None:
    for rate in (1e3, 1e9, 1e12, 1e15):
        for eta in (1.0, 0.1, 1e-6):
            setup = PairSetup(rate, (0, 0), (eta, 1.0), (1e3, 1e6), 1e-9)
            total = Coincidences.of(setup).total
            assert 0 < total <= 1e9 * (1 + 1e-9) and total <= (rate * eta + 1e3) * (1 + 1e-9)


@pytest.mark.parametrize("per_window", [1e-6, 0.1, 3.0])
def test_perfect_detectors_see_both_halves_in_every_window_that_has_a_pair(per_window: float) -> None:
    total = Coincidences.of(PairSetup(per_window * 1e9, (0, 0), (1.0, 1.0), (0, 0), 1e-9)).total
    assert total * 1e-9 == pytest.approx(-math.expm1(-per_window))


def test_dead_time_makes_the_singles_saturate() -> None:
    quick = PairSetup(1e8, (0, 10), (1.0, 1.0), (0.0, 0.0), 1e-12)
    slow = PairSetup(1e8, (0, 10), (1.0, 1.0), (0.0, 0.0), 1e-12, dead_time_s=20e-9, detectors=1)
    many = PairSetup(1e8, (0, 10), (1.0, 1.0), (0.0, 0.0), 1e-12, dead_time_s=20e-9, detectors=1000)
    # 1e8 and 1e7 singles on two detectors: live for 1 / (1 + 1) and 1 / (1 + 0.1)
    assert Coincidences.of(slow).total == pytest.approx(Coincidences.of(quick).total / 2 / 1.1)
    assert Coincidences.of(many).total == pytest.approx(Coincidences.of(quick).total, rel=2e-3)
    assert way(slow, NOBODY).mixed == pytest.approx(way(quick, NOBODY).mixed)


@pytest.mark.parametrize(("setup", "rate", "visibility"), [(MALTA, 257, 0.9), (AUSTRIA, 9, 0.86)], ids=["2019", "2022"])
async def test_published_links_have_the_pairs_and_the_visibility_reported(
    pair_bench: Any, setup: PairSetup, rate: float, visibility: float
) -> None:
    """The presets were fitted to the pairs, and that of 2022 to the visibility: consistency, not prediction."""
    bench = pair_bench(setup)
    ours, theirs = await bench.exchange("bbm92", 20_000)  # or what comes in ten minutes
    assert ours.created / bench.source.link_time == pytest.approx(rate, rel=0.03 + 4.5 / math.sqrt(ours.created))
    seen = 1 - 2 * qber(ours, theirs)
    assert abs(seen - visibility) < 0.03 + 4.5 * math.sqrt((1 - visibility**2) / len(ours.bits))


@pytest.mark.parametrize("setup", [MALTA, NOISY, LOSSLESS], ids=["slow", "noisy", "quick"])
async def test_pairs_come_at_the_rate_that_the_closed_form_gives(pair_bench: Any, setup: PairSetup) -> None:
    bench, rate = pair_bench(setup), Coincidences.of(setup).total
    made = [await bench.source.create_pairs(5000) for _ in range(4)]
    assert [pairs.count for pairs in made] == [5000] * 4
    assert abs(bench.source.link_time * rate - 20_000) < 4.5 * math.sqrt(20_000)
    sent = sum(pairs.sent for pairs in made)
    assert abs(sent / (setup.rate_hz * bench.source.link_time) - 1) < 4.5 / math.sqrt(20_000)
    assert all(pairs.sent >= pairs.count for pairs in made)


@pytest.mark.parametrize("speed", [1.0, 0.25])
async def test_a_slow_link_gives_a_batch_a_second_with_what_came(pair_bench: Any, speed: float) -> None:
    bench, seconds = pair_bench(AUSTRIA, speed=speed), 400
    counts = [(await bench.source.create_pairs(1000)).count for _ in range(seconds)]
    expected = Coincidences.of(AUSTRIA).total * speed
    assert bench.wall.longest <= 1.0 + 1e-9 and bench.wall.now == pytest.approx(seconds, abs=1)
    assert bench.source.link_time == pytest.approx(seconds * speed)
    assert abs(sum(counts) - expected * seconds) < 4.5 * math.sqrt(expected * seconds)
    assert abs(np.var(counts) / expected - 1) < 4.5 * math.sqrt((2 + 1 / expected) / seconds)  # Poissonian


async def test_a_batch_ends_with_its_last_pair_or_after_a_second(pair_bench: Any) -> None:
    bench, asked, batches = pair_bench(AUSTRIA, speed=1.0), 9, 4000
    counts = [(await bench.source.create_pairs(asked)).count for _ in range(batches)]
    rate = Coincidences.of(AUSTRIA).total
    chance = [math.exp(-rate) * rate**n / math.factorial(n) for n in range(asked)]
    for fewer, share in enumerate(chance):  # what came is Poissonian, up to what was asked for
        assert within(counts.count(fewer) / batches, share, batches)
    assert within(counts.count(asked) / batches, 1 - sum(chance), batches)


async def test_a_link_that_makes_a_batch_in_less_than_a_second_takes_that_time(pair_bench: Any) -> None:
    bench = pair_bench(LOSSLESS, speed=1.0)
    for _ in range(10):
        assert (await bench.source.create_pairs(50_000)).count == 50_000
    assert abs(bench.wall.now - 0.5) < 4.5 * 0.5 / math.sqrt(500_000)


async def test_batches_in_flight_follow_each_other_on_the_clock(pair_bench: Any) -> None:
    bench = pair_bench(MALTA, speed=1.0)
    made = await asyncio.gather(*(bench.source.create_pairs(10_000) for _ in range(4)))
    assert [pairs.batch for pairs in made] == [0, 1, 2, 3]
    assert bench.wall.now == pytest.approx(4)


async def test_a_channel_that_is_cut_leaves_accidental_coincidences_alone(pair_bench: Any) -> None:
    cut = Eavesdropper(cut=True)
    rates = Coincidences.of(MALTA, cut=True)
    assert rates.pairs == 0 and rates.accidental == pytest.approx((MALTA.rate_hz * 0.2 + 500) * 500 * 1e-9, rel=1e-2)
    ours, theirs = await pair_bench(MALTA, cut).exchange("bbm92", 20_000)
    assert ours.created < 20_000 and within(qber(ours, theirs), 0.5, max(1, len(ours.bits)))


async def test_a_link_on_which_nothing_clicks_gives_empty_batches_and_no_failure(pair_bench: Any) -> None:
    bench = pair_bench(LOSSLESS, Eavesdropper(cut=True), speed=1.0)
    ours, theirs = await bench.exchange("e91", 100)
    assert ours.created == theirs.created == len(ours.bits) == 0 and bench.wall.now == pytest.approx(1)
    assert abs(ours.sent - 1e6) < 4500


async def test_both_ends_count_the_same_link_time(pair_bench: Any) -> None:
    bench = pair_bench(MALTA, speed=1.0)
    for clock in bench.clocks:
        clock.enter()
    for _ in range(3):
        await bench.exchange("bbm92", 100)
    assert bench.source.link_time == bench.sink.link_time > 0
    assert all(clock.achieved == pytest.approx(1) for clock in bench.clocks)
