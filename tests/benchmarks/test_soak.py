"""The line through a series says whether something grows, and is not fooled by noise."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from benchmarks.soak.echo import Echo
from benchmarks.soak.gauges import latencies
from benchmarks.soak.trend import batches, fit, judge

HOURS = [n / 120 for n in range(120)]


def test_the_slope_of_a_straight_line_is_exact() -> None:
    slope, error = fit(HOURS, [5 + 3 * at for at in HOURS])
    assert slope == pytest.approx(3) and error == pytest.approx(0, abs=1e-9)


def test_the_error_is_what_theory_says() -> None:
    dice, slopes, errors = random.Random(1), [], []
    for _ in range(400):
        slope, error = fit(HOURS, [dice.gauss(7, 2) for _ in HOURS])
        slopes.append(slope)
        errors.append(error)
    spread = (sum(slope**2 for slope in slopes) / len(slopes)) ** 0.5
    assert spread == pytest.approx(sum(errors) / len(errors), rel=0.15)


def test_a_leak_fails_and_noise_does_not() -> None:
    dice = random.Random(2)
    noise = [20 + dice.gauss(0, 0.5) for _ in HOURS]
    assert judge("memory/Alice keysync", HOURS, noise).passed
    leak = judge("memory/Alice keysync", HOURS, [value + 12 * at for value, at in zip(noise, HOURS, strict=True)])
    assert not leak.passed and leak.slope == pytest.approx(12, abs=2)
    assert judge(
        "memory/Alice keysync", HOURS, [value - 12 * at for value, at in zip(noise, HOURS, strict=True)]
    ).passed


def test_a_rate_may_rise_and_not_fall() -> None:
    dice = random.Random(3)
    assert judge("rate/Alice-Bob", HOURS, [100 + 60 * at + dice.gauss(0, 1) for at in HOURS]).passed
    assert not judge("rate/Alice-Bob", HOURS, [100 - 60 * at + dice.gauss(0, 1) for at in HOURS]).passed


def test_what_is_read_soon_after_each_other_counts_once() -> None:
    hours, values = batches(HOURS, [float(n // 10) for n in range(120)])
    assert values == [float(n) for n in range(12)] and len(hours) == 12


def test_two_points_make_no_line() -> None:
    with pytest.raises(ValueError, match="no line"):
        fit([0.0, 1.0], [1.0, 2.0])


def test_what_has_a_ceiling_may_rise_to_it() -> None:
    rising = [1000.0 + 15_000 * at for at in HOURS]
    assert judge("state/Alice keymanager.sqlite-wal", HOURS, rising).passed
    assert not judge("state/Alice keymanager.sqlite-wal", HOURS, [2 * value for value in rising]).passed
    assert not judge("state/Alice keymanager.sqlite", HOURS, rising).passed


def test_a_latency_is_judged_beside_what_the_machine_can_do() -> None:
    ours, bare = [n * 1e-5 for n in range(1, 101)], [n * 1e-6 for n in range(1, 101)]
    found = dict(latencies(ours, bare))
    assert found["latency/p50"] == pytest.approx(0.51) and found["echo/p99"] == pytest.approx(0.1)
    assert found["beside/p50"] == pytest.approx(10)
    assert set(dict(latencies(ours, bare[:19]))) == {"latency/p50", "latency/p99"}
    slower = [1 + at for at in HOURS]
    assert judge("echo/p50", HOURS, slower).passed and not judge("latency/p50", HOURS, slower).passed
    assert judge("beside/p50", HOURS, [5.0 for _ in HOURS]).passed
    assert not judge("beside/p50", HOURS, [5 * value for value in slower]).passed


def test_the_echo_says_back_what_it_hears_and_ends(tmp_path: Path) -> None:
    echo = Echo(tmp_path)
    try:
        assert all(0 < echo.took() < 10 for _ in range(3))
    finally:
        echo.close()
    assert echo._process.returncode is not None
