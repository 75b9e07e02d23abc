"""Dead time: a detector is blind after a click, and both ends know which pulses clicked."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.emulators.photonic import detector
from qkdbus_qbackend.emulators.photonic.chance import Dice, Keystream
from qkdbus_qbackend.emulators.photonic.kernels import (
    DIGIT,
    blind_loop,
    compiled,
    digit_loop,
    gap_tables,
    join,
    kept_loop,
    part,
    warm,
)
from qkdbus_qbackend.emulators.photonic.signal import Signal

FAST = PulseSetup(1e9, (0.5, 0.1), (0.7, 0.3), 0.5, 0.5, 3.0, 0.8, 1e-6, misalignment=0.02)


def chance() -> tuple[Keystream, Dice]:
    return Keystream(np.random.default_rng(1).bytes), Dice(1, "test")


async def light_of(bench: Any, count: int) -> Signal:
    """Return the light of a batch, as it reaches the receiver."""
    await bench.source.send_pulses(count)
    return Signal.unpack(await bench.plane.sense())


@pytest.mark.parametrize("pixels", [1, 4])
async def test_dead_time_caps_the_rate_of_each_detector(pulse_bench: Any, pixels: int) -> None:
    seen = await pulse_bench(replace(FAST, dead_time_s=1e-6, detectors=pixels)).run(100_000)
    seconds = seen.sent / FAST.rate_hz
    per_detector = seen.clicks.count / seconds / (2 * pixels)
    coming = 1e9 * 0.1 / (2 * pixels)  # about: n / (1 + n tau) of them click
    assert 0.9 * coming / (1 + coming * 1e-6) < per_detector < 1e6


async def test_dead_time_takes_the_share_that_theory_says(pulse_bench: Any) -> None:
    """A detector on which a share p of the slots falls clicks in p / (1 + p d) of them, being blind in d after each."""
    bench = pulse_bench(replace(FAST, dead_time_s=20e-9, detectors=2))
    seen, free = await bench.run(500_000, batches=2), await pulse_bench(FAST).run(500_000)
    density = free.clicks.count / free.sent
    expected = density / (1 + density * 19 / 4)
    assert seen.clicks.count / seen.sent == pytest.approx(expected, rel=0.004)
    # And about as many clicks come as were asked for.
    assert seen.clicks.count == pytest.approx(1_000_000, rel=0.01)


async def test_both_ends_know_which_pulses_clicked(pulse_bench: Any) -> None:
    """If they did not, half of the bits would differ."""
    seen = await pulse_bench(replace(FAST, dead_time_s=1e-7)).run(200_000)
    assert abs(seen.qber_off(0.02)) < 4.5
    assert abs(seen.qber_off(0.5, same=False)) < 4.5


async def test_a_click_blinds_the_one_detector_only(pulse_bench: Any) -> None:
    """With hardly any light in between, the next outcome is the other one: what a real receiver has to mend."""
    setup = replace(FAST, dead_time_s=1e-6, p_z_source=1.0, p_z_receiver=1.0, misalignment=0.0)
    bits = (await pulse_bench(setup).run(50_000)).clicks.bits
    assert np.mean(bits[1:] != bits[:-1]) > 0.9


@pytest.mark.parametrize(("slots", "clicks"), [(3_000_000, [2, 0, 0]), (1_000_000, [2, 2, 2])])
async def test_a_detector_stays_blind_from_one_batch_to_the_next(
    pulse_bench: Any, slots: int, clicks: list[int]
) -> None:
    """Of each outcome, the first candidate after so many slots clicks; a batch has some 720,000 slots."""
    bench, receiver = pulse_bench(FAST), detector.Detector(replace(FAST, dead_time_s=slots * 1e-9), *chance())
    assert [receiver.detect(await light_of(bench, 100_000)).count for _ in range(3)] == clicks


async def test_rare_clicks_need_no_dead_time(pulse_bench: Any) -> None:
    setup = replace(FAST, loss_db=60.0, dead_time_s=1e-9)
    bench = pulse_bench(setup)
    pulses = await bench.source.send_pulses(10_000)
    assert detector.blindness(setup, 10_000 / pulses.sent) < detector.NEGLIGIBLE
    found = await bench.sink.detect(await bench.sink.await_pulses())
    assert found.which == b""


@pytest.mark.parametrize("density", [1.0, 0.9, 0.2, 0.013, 1e-4, 1e-6])
def test_gaps_are_geometric(density: float) -> None:
    count, dice = 100_000, Dice(7, "test")
    gaps = np.ones(count, np.int64)
    for level, table in enumerate(gap_tables(density)):
        compiled(digit_loop)(dice.numbers32(count), table, DIGIT * level, gaps)
    deviation = (1 - density) ** 0.5 / density
    assert abs(gaps.mean() - 1 / density) <= 4.5 * deviation / count**0.5
    for slots in (1, 2, int(0.1 / density) + 1, int(1 / density) + 1, int(4 / density) + 1):
        expected = -np.expm1(slots * np.log1p(-min(density, 1 - 1e-12)))
        spread = (expected * (1 - expected) / count) ** 0.5
        assert abs(np.mean(gaps <= slots) - expected) <= 4.5 * spread + 1e-9


def test_loops_give_the_same_bits_without_a_compiler() -> None:
    count, dice = 2_000, Dice(3, "test")
    draws, pixels = dice.numbers32(count), dice.numbers32(count).view(np.uint16)
    values = (dice.numbers32(count) & 3).astype(np.uint8)
    table = gap_tables(0.05)[0]
    results = []
    for loop in (compiled, lambda loop: loop):
        gaps, ready = np.ones(count - 7, np.int64), np.zeros(6, np.int64)
        seen, again, clicked = values.copy(), values.copy(), np.zeros(count, np.uint8)
        loop(digit_loop)(draws[7:], table, 0, gaps)
        last, live = loop(blind_loop)(gaps, pixels, 3, 40, ready, seen, clicked, 7, 5)
        kept = loop(kept_loop)(again, clicked)
        assert 5 < live == kept + 5 < count
        assert (seen[5:live] == values[clicked == 1]).all() and (seen[:5] == values[:5]).all()
        assert (again[:kept] == values[clicked == 1]).all()
        results.append((last, live, gaps, ready, seen[:live], clicked))
    assert compiled(blind_loop) is not blind_loop
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("columns", [2, 3])
def test_columns_come_apart_as_they_were_joined(columns: int) -> None:
    before = [np.array(values, np.uint8) for values in ([0, 1, 1, 0], [1, 0, 1, 0], [3, 1, 0, 2])][:columns]
    arrays = [column.copy() for column in before]
    join(*arrays)
    assert not any(column.any() for column in arrays[1:])
    part(*arrays)
    assert all((one == other).all() for one, other in zip(arrays, before, strict=True))


def test_without_numba_the_loops_run_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    compiled.cache_clear()
    assert compiled(blind_loop) is blind_loop
    compiled.cache_clear()


async def test_nothing_is_left_to_compile_once_the_loops_are_warm(pulse_bench: Any) -> None:
    compiled.cache_clear()
    warm()
    await pulse_bench(replace(FAST, dead_time_s=1e-7)).run(40_001, batches=2)
    assert [len(compiled(loop).signatures) for loop in (digit_loop, blind_loop, kept_loop)] == [1, 1, 1]  # type: ignore[attr-defined]
