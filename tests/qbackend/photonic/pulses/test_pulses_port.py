"""A line of weak pulses keeps the emulator port: each batch once, in order, and nothing that gives bits away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qkdbus.errors import Refused, Unavailable
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PairSetup, PulseSetup
from qkdbus_qbackend.bits import pack
from qkdbus_qbackend.emulators.photonic import pulses as pulses_of
from qkdbus_qbackend.emulators.photonic.chance import Dice, Keystream
from qkdbus_qbackend.emulators.photonic.channel import light
from qkdbus_qbackend.emulators.photonic.clock import LinkClock
from qkdbus_qbackend.emulators.photonic.emulator import PhotonicEmulator
from qkdbus_qbackend.emulators.photonic.sampler import Prepared, emit, prepare
from qkdbus_qbackend.emulators.photonic.signal import Signal
from qkdbus_qbackend.emulators.port import Pulses
from qkdbus_qbackend.failure import Broken

# Every slot has a dark count, if nothing else: then the numbers of candidates do not depend on chance.
ALWAYS = PulseSetup(1e6, (0.5, 0.1, 0.0), (0.5, 0.3, 0.2), 0.6, 0.7, 0.0, 0.5, 1.0, misalignment=0.1)


async def test_batches_arrive_in_order_and_are_measured_once(pulse_bench: Any) -> None:
    bench = pulse_bench()
    made = [await bench.source.send_pulses(count) for count in (1, 9, 1000)]
    arrived = [await bench.sink.await_pulses() for _ in range(3)]
    assert made == arrived and len({pulses.batch for pulses in made}) == 3
    for pulses in reversed(arrived):
        found = await bench.sink.detect(pulses)
        known = await bench.source.recall(pulses, found.which)
        assert found.count == len(found.bits) == len(found.bases) == len(known.bits) == len(known.intensities)
        for array in (found.bits, found.bases, known.bits, known.bases, known.intensities):
            assert array.dtype == np.uint8 and array.flags.writeable
        with pytest.raises(Unavailable):
            await bench.sink.detect(pulses)
        with pytest.raises(Unavailable):
            await bench.source.recall(pulses, found.which)


async def test_only_pulses_that_can_have_clicked_are_recalled(pulse_bench: Any) -> None:
    bench = pulse_bench(ALWAYS)
    pulses = await bench.source.send_pulses(12)
    for which in (bytes(1), bytes(3), b"\x00\x10"):
        again = await bench.source.send_pulses(12)
        with pytest.raises(Broken):
            await bench.source.recall(again, which)
        with pytest.raises(Unavailable):  # there is no second try
            await bench.source.recall(again, b"")
    known = await bench.source.recall(pulses, b"\x01\x08")
    assert len(known.bits) == 2


async def test_what_is_recalled_is_what_was_asked_for(pulse_bench: Any) -> None:
    """All of a batch at one end; of an equal one at another, a part."""
    token = np.random.default_rng(5).bytes(1 << 16)
    whole, part = (pulse_bench(ALWAYS, token=lambda count: token[:count]) for _ in range(2))
    known = await whole.source.recall(await whole.source.send_pulses(1001), b"")
    chosen = np.random.default_rng(6).integers(0, 2, 1001, dtype=np.uint8)
    some = await part.source.recall(await part.source.send_pulses(1001), pack(chosen))
    for name in ("bases", "bits", "intensities"):
        assert np.array_equal(getattr(known, name)[chosen == 1], getattr(some, name))


async def test_noise_decides_nothing_that_the_key_is_made_of(pulse_bench: Any) -> None:
    """Another seed: other errors, the same settings. Another key: other settings."""
    token = np.random.default_rng(5).bytes(1 << 16)
    results = []
    for seed, start in ((1, 0), (2, 0), (1, 48)):
        bench = pulse_bench(ALWAYS, seed=seed, token=lambda count, start=start: token[start : start + count])
        results.append(await bench.run(4000))
    first, noisier, other = results
    for name in ("bases", "bits", "intensities"):
        assert np.array_equal(getattr(first.source, name), getattr(noisier.source, name))
        assert not np.array_equal(getattr(first.source, name), getattr(other.source, name))
    assert np.array_equal(first.clicks.bases, noisier.clicks.bases)
    assert not np.array_equal(first.clicks.bits, noisier.clicks.bits)
    assert 0.45 < np.mean(first.source.bits == other.source.bits) < 0.55


async def test_both_ends_may_draw_from_one_seed(pulse_bench: Any, bright: PulseSetup) -> None:
    """What dephasing turns and what misalignment turns would else be the same pulses."""
    seen = await pulse_bench(replace(bright, dephasing=0.3, misalignment=0.3)).run(100_000)
    assert abs(seen.qber_off(0.42, basis=1)) < 4.5


async def test_a_batch_may_be_empty(pulse_bench: Any, bright: PulseSetup) -> None:
    bench = pulse_bench(bright, Eavesdropper(cut=True))
    pulses = await bench.source.send_pulses(1000)
    assert pulses.sent == 600 * 10**9  # ten minutes, the longest batch
    found = await bench.sink.detect(await bench.sink.await_pulses())
    known = await bench.source.recall(pulses, found.which)
    assert found.count == len(found.bits) == len(known.bits) == 0


async def test_a_discarded_line_is_of_no_use(pulse_bench: Any) -> None:
    bench = pulse_bench()
    pulses = await bench.source.send_pulses(8)
    await bench.sink.await_pulses()
    for end in (bench.source, bench.sink):
        await end.discard()
        await end.discard()
    with pytest.raises(Unavailable):
        await bench.source.recall(pulses, b"")
    with pytest.raises(Unavailable):
        await bench.source.send_pulses(8)
    with pytest.raises(Unavailable):
        await bench.sink.detect(pulses)


@pytest.mark.parametrize("pairs", [True, False])
async def test_a_line_shares_the_clock_until_it_is_discarded(pulse_bench: Any, pairs: bool) -> None:
    clock = LinkClock(1.0, lambda: 0.0, asyncio.sleep)
    setup = PairSetup(1e6, (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 1e-9) if pairs else ALWAYS
    lines: list[Any] = []
    for _ in range(2):
        emulator = PhotonicEmulator(pulse_bench().plane, setup, Eavesdropper, clock, bytes, 1)
        lines.append((emulator.line if pairs else emulator.pulse_line)("source", "Bob", "line"))
    assert clock.longest == 0.5
    for line in (lines[0], lines[0]):
        await line.discard()
        assert clock.longest == 1.0


async def test_each_end_does_its_own_part_only(pulse_bench: Any) -> None:
    bench = pulse_bench()
    pulses = Pulses(0, 1)
    for asked in (
        bench.sink.send_pulses(8),
        bench.sink.recall(pulses, b""),
        bench.source.await_pulses(),
        bench.source.detect(pulses),
    ):
        with pytest.raises(Unavailable):
            await asked


async def test_a_link_has_pulses_or_pairs(pulse_bench: Any, bright: PulseSetup) -> None:
    bench = pulse_bench()
    pairs = PairSetup(1e6, (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 1e-9)
    here = bench.plane, Eavesdropper, bench.clock, bytes, 1
    with pytest.raises(Refused):
        PhotonicEmulator(here[0], bright, *here[1:]).line("source", "Bob", "line")
    with pytest.raises(Refused):
        PhotonicEmulator(here[0], pairs, *here[1:]).pulse_line("source", "Bob", "line")
    assert PhotonicEmulator(here[0], pairs, *here[1:]).link_time() == 0.0


async def test_the_link_time_is_that_of_the_pulses_sent(pulse_bench: Any) -> None:
    bench = pulse_bench(ALWAYS)
    await bench.run(1000, batches=3)
    assert [emulator.link_time() for emulator in bench.emulators] == [pytest.approx(3e-3)] * 2


@pytest.mark.parametrize("discarded", [True, False])
async def test_the_source_forgets_what_it_sent(
    pulse_bench: Any, monkeypatch: pytest.MonkeyPatch, discarded: bool
) -> None:
    made: list[Prepared] = []

    def remembered(*given: Any) -> Prepared:
        made.append(prepare(*given))
        return made[-1]

    monkeypatch.setattr(pulses_of, "prepare", remembered)
    bench = pulse_bench(ALWAYS)
    pulses = await bench.source.send_pulses(1000)
    planes = made[0].bits, made[0].bases, made[0].decoy, made[0].vacuum
    assert all(plane.any() for plane in planes)
    await (bench.source.discard() if discarded else bench.source.recall(pulses, b""))
    assert not any(plane.any() for plane in planes)


async def test_nothing_that_is_secret_prints_itself(pulse_bench: Any) -> None:
    bench = pulse_bench(ALWAYS)
    pulses = await bench.source.send_pulses(1000)
    keys, arriving = Keystream(bytes), light(ALWAYS, Eavesdropper())
    prepared = prepare(arriving, 0.5, 1000, keys)
    signal = emit(prepared, arriving, 0, 1000, Dice(1, "test"))
    await bench.sink.await_pulses()
    found = await bench.sink.detect(pulses)
    known = await bench.source.recall(pulses, b"")
    for secret in (prepared, signal, found, known, bench.source, bench.sink, bench.emulators[0], keys):
        assert "array" not in repr(secret)


@pytest.mark.parametrize("eve", [Eavesdropper(), Eavesdropper(intercept_resend=1.0, bases=(10.0,))])
def test_a_description_is_read_as_it_was_written_or_not_at_all(eve: Eavesdropper) -> None:
    arriving = light(ALWAYS, eve)
    signal = emit(prepare(arriving, 0.5, 77, Keystream(np.random.default_rng(1).bytes)), arriving, 5, 77, Dice(1, ""))
    body = signal.pack()
    read = Signal.unpack(body)
    assert (read.batch, read.sent, read.count, read.angles) == (5, 77, 77, signal.angles)
    assert read.pack() == body and len(body) < 200
    for broken in (
        b"",
        body[:10],
        body[:-1],
        body + b"\0",
        body[:16] + b"\xff" + body[17:],
        body[:8] + bytes(8) + body[16:],
    ):
        with pytest.raises(Broken):
            Signal.unpack(broken)
    if eve.intercept_resend:
        with pytest.raises(Broken):
            Signal.unpack(body[:-1] + b"\xff")


@pytest.mark.parametrize(("clicks", "elsewhere"), [(1000, False), (1 << 18, True)])
async def test_the_loop_goes_on_while_a_large_batch_is_drawn(pulse_bench: Any, clicks: int, elsewhere: bool) -> None:
    threads: list[int] = []

    def token(count: int) -> bytes:
        threads.append(threading.get_ident())
        return bytes(count)

    bench = pulse_bench(ALWAYS, token=token)
    here, opened = threading.get_ident(), len(threads)
    await bench.run(clicks)
    assert [thread != here for thread in threads[opened:]] == [elsewhere] * 2  # a new key at each end


def test_a_link_without_dead_time_needs_no_numba() -> None:
    code = """
import asyncio, os, sys
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.emulators.photonic import pulses as pulses_of
from qkdbus_qbackend.emulators.photonic.chance import Dice, Keystream
from qkdbus_qbackend.emulators.photonic.channel import light
from qkdbus_qbackend.emulators.photonic.detector import Detector
from qkdbus_qbackend.emulators.photonic.sampler import Prepared, emit, prepare
setup = PulseSetup(1e6, (0.5,), (1.0,), 0.5, 0.5, 0.0, 0.5, 0.1)
arriving = light(setup, Eavesdropper(intercept_resend=0.5))
prepared = prepare(arriving, 0.5, 100, Keystream(os.urandom))
found = Detector(setup, Keystream(os.urandom), Dice(1, "")).detect(emit(prepared, arriving, 0, 100, Dice(1, "")))
print(found.count, len(prepared.of(b"").bits), "numba" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["100", "100", "False"]


def test_a_setup_with_four_intensities_is_refused(pulse_bench: Any) -> None:
    many: Callable[[], object] = lambda: pulse_bench(replace(ALWAYS, intensities=(0.4, 0.3, 0.2, 0.1)))  # noqa: E731
    with pytest.raises(Refused):
        many()
