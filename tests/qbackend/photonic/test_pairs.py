"""Entangled pairs on a photonic link: their outcomes, and who may be in the channel."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

from qkdbus.errors import Unavailable
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PairSetup
from qkdbus_qbackend.emulators.photonic.born import MOST_ANGLES, correlation, error_rate
from qkdbus_qbackend.emulators.photonic.coincidences import way
from qkdbus_qbackend.emulators.port import A22, A67, X, Y, Z
from qkdbus_qbackend.failure import Broken
from qkdbus_qbackend.protocols.chsh import Correlations
from qkdbus_qbackend.protocols.sifting import Sifted

NOBODY = Eavesdropper()
LOSSLESS = PairSetup(1e6, (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 1e-15)


def within(seen: float, expected: float, count: int, sigmas: float = 4.5) -> bool:
    return abs(seen - expected) <= sigmas * math.sqrt(max(expected * (1 - expected), 0) / count) + 1e-12


def qber(ours: Sifted, theirs: Sifted) -> float:
    return float(np.mean(ours.bits != theirs.bits))


@pytest.mark.parametrize(("basis", "differ"), [(Z, 0), (X, 0), (A22, 0), (A67, 0), (Y, 1)])
async def test_equal_bases_give_what_phi_plus_gives(pair_bench: Any, basis: int, differ: int) -> None:
    assert await pair_bench().differ(basis, basis) == differ


@pytest.mark.parametrize(
    ("mine", "theirs", "degrees"),
    [(Z, X, 45), (Z, A22, 22.5), (A22, Z, 22.5), (Z, A67, 67.5), (X, A67, 22.5), (A67, A22, 45), (Z, Y, 45)],
)
async def test_different_angles_differ_with_the_square_of_the_sine(
    pair_bench: Any, mine: int, theirs: int, degrees: float
) -> None:
    expected = math.sin(math.radians(degrees)) ** 2
    assert error_rate(mine, theirs) == pytest.approx(expected)
    assert within(await pair_bench().differ(mine, theirs), expected, 40_000)


NOISES = {
    "visibility": PairSetup(1e6, (0, 0), (1, 1), (0, 0), 1e-15, visibility=0.9),
    "depolarising": PairSetup(1e6, (0, 0), (1, 1), (0, 0), 1e-15, depolarising=0.2),
    "dephasing": PairSetup(1e6, (0, 0), (1, 1), (0, 0), 1e-15, dephasing=0.15),
    "misalignment": PairSetup(1e6, (0, 0), (1, 1), (0, 0), 1e-15, misalignment=0.04),
    "accidentals": PairSetup(1e8, (3, 7), (0.5, 0.6), (1e5, 3e5), 1e-9),
    "all": PairSetup(
        1e8, (3, 7), (0.5, 0.6), (1e5, 3e5), 1e-9, visibility=0.93, depolarising=0.05, dephasing=0.1, misalignment=0.02
    ),
}
EVES = {
    "nobody": NOBODY,
    "all at 0 and 45": Eavesdropper(intercept_resend=1.0),
    "some at 10": Eavesdropper(intercept_resend=0.6, bases=(10.0,)),
    "jam": Eavesdropper(jam=0.3),
}


@pytest.mark.parametrize("eve", EVES)
@pytest.mark.parametrize("noise", NOISES)
async def test_what_is_drawn_follows_the_closed_form_in_every_pair_of_bases(
    pair_bench: Any, noise: str, eve: str
) -> None:
    setup, count = NOISES[noise], 20_000
    bench = pair_bench(setup, EVES[eve])
    for mine in (Z, X, Y, A22, A67):
        for theirs in (Z, X, Y, A22, A67):
            expected = error_rate(mine, theirs, way(setup, EVES[eve]))
            assert within(await bench.differ(mine, theirs, count), expected, count), (mine, theirs)


async def test_dephasing_turns_outcomes_in_x_and_not_in_z() -> None:
    found = way(NOISES["dephasing"], NOBODY)
    assert [error_rate(basis, basis, found) for basis in (Z, X)] == pytest.approx([0, 0.15], abs=1e-8)
    assert correlation(Y, Y, found) == pytest.approx(-0.7)


@pytest.mark.parametrize("setup", [LOSSLESS, NOISES["all"]], ids=["quiet", "noisy"])
async def test_either_ends_outcomes_are_fair_and_owe_nothing_to_the_seed(pair_bench: Any, setup: PairSetup) -> None:
    count, seen = 100_000, []
    for chance in range(2):
        bench = pair_bench(setup, seed=4, token=np.random.default_rng(chance).bytes)
        one, other = await bench.measure(await bench.source.create_pairs(count), Z, A22)
        assert within(float(np.mean(one)), 0.5, count) and within(float(np.mean(other)), 0.5, count)
        seen.append(one)
    assert within(float(np.mean(seen[0] != seen[1])), 0.5, count)


async def test_s_falls_with_the_visibility_and_with_accidental_coincidences(pair_bench: Any) -> None:
    for setup in (LOSSLESS, NOISES["visibility"], NOISES["accidentals"]):
        ours, theirs = await pair_bench(setup).exchange("e91", 300_000)
        found, genuine = ours.evidence, 1 - way(setup, NOBODY).mixed
        assert isinstance(found, Correlations) and found == theirs.evidence
        assert abs(found.s - 2 * math.sqrt(2) * genuine) < 4 * found.error
        assert within(qber(ours, theirs), (1 - genuine) / 2, len(ours.bits))


@pytest.mark.parametrize(("angles", "expected"), [((), 0.25), ((0.0,), 0.375), ((22.5, 45.0), 0.125)])
async def test_an_eavesdropper_on_all_pairs_leaves_s_at_root_two(pair_bench: Any, angles: Any, expected: float) -> None:
    ours, theirs = await pair_bench(eve=Eavesdropper(intercept_resend=1.0, bases=angles)).exchange("e91", 200_000)
    assert isinstance(ours.evidence, Correlations)
    assert abs(ours.evidence.s - math.sqrt(2)) < 4 * ours.evidence.error
    assert within(qber(ours, theirs), expected, len(ours.bits))


@pytest.mark.parametrize("share", [0.1, 0.44, 1.0])
async def test_intercept_resend_gives_bbm92_a_quarter_of_its_share_as_qber(pair_bench: Any, share: float) -> None:
    ours, theirs = await pair_bench(eve=Eavesdropper(intercept_resend=share)).exchange("bbm92", 200_000)
    assert within(qber(ours, theirs), share / 4, len(ours.bits))


async def test_the_three_pauli_bases_can_be_measured_too(pair_bench: Any) -> None:
    ours, theirs = await pair_bench().exchange("e91-same-bases", 3000)
    assert len(ours.bits) and (ours.bits == theirs.bits).all()


async def test_light_of_random_state_in_all_places_leaves_no_correlation(pair_bench: Any) -> None:
    ours, theirs = await pair_bench(eve=Eavesdropper(jam=1.0)).exchange("bbm92", 40_000)
    assert within(qber(ours, theirs), 0.5, len(ours.bits))


async def test_more_angles_than_an_octet_can_tell_are_drawn_from(pair_bench: Any) -> None:
    angles = tuple(float(angle) for angle in range(MOST_ANGLES + 40))
    bench = pair_bench(eve=Eavesdropper(intercept_resend=1.0, bases=angles))
    shares = [await bench.differ(Z, Z, 4000) for _ in range(10)]
    expected = error_rate(Z, Z, way(LOSSLESS, Eavesdropper(intercept_resend=1.0, bases=angles)))
    assert abs(np.mean(shares) - expected) < 0.03


async def test_an_eavesdropper_who_comes_and_goes_is_felt_while_she_is_there(pair_bench: Any) -> None:
    here = NOBODY
    bench = pair_bench(eve=lambda: here)
    before = await bench.differ(Z, Z)
    here = Eavesdropper(intercept_resend=1.0, bases=(45.0,))
    during = await bench.differ(Z, Z)
    here = NOBODY
    assert before == 0 == await bench.differ(Z, Z) and within(during, 0.5, 40_000)


async def test_noise_is_repeatable(pair_bench: Any) -> None:
    errors = []
    for seed in (4, 4, 5):
        bench = pair_bench(PairSetup(1e6, (0, 0), (1, 1), (0, 0), 1e-15, dephasing=0.2, misalignment=0.1), seed=seed)
        one, other = await bench.measure(await bench.source.create_pairs(1000), X, X)
        errors.append(bytes(one ^ other))
    assert errors[0] == errors[1] != errors[2]


async def test_batches_are_measured_once_and_in_any_order(pair_bench: Any) -> None:
    bench = pair_bench()
    made = [await bench.source.create_pairs(count) for count in (3, 0, 8, 100)]
    ours = [await bench.source.measure(pairs, np.zeros(pairs.count, np.uint8)) for pairs in made]
    arrived = [await bench.sink.await_pairs() for _ in made]
    assert arrived == made
    for pairs, outcomes in reversed(list(zip(arrived, ours, strict=True))):
        bases = np.zeros(pairs.count, np.uint8)
        assert ((await bench.sink.measure(pairs, bases)) == outcomes).all()
        for end in (bench.source, bench.sink):
            with pytest.raises(Unavailable):
                await end.measure(pairs, bases)


async def test_a_discarded_line_has_nothing_left_to_measure(pair_bench: Any) -> None:
    bench = pair_bench()
    first, second = await bench.source.create_pairs(8), await bench.source.create_pairs(8)
    bases = np.zeros(8, np.uint8)
    await bench.source.measure(first, bases)
    arrived = await bench.sink.await_pairs()
    await bench.source.discard()
    await bench.sink.discard()
    for end, pairs in ((bench.source, second), (bench.sink, arrived)):
        with pytest.raises(Unavailable):
            await end.measure(pairs, bases)


@pytest.mark.parametrize("change", [lambda signal: b"", lambda signal: signal[:-1], lambda signal: signal + b"\0"])
async def test_a_quantum_signal_that_cannot_be_read_breaks_the_exchange(pair_bench: Any, change: Any) -> None:
    bench = pair_bench(eve=Eavesdropper(intercept_resend=1.0))
    pairs = await bench.source.create_pairs(8)
    await bench.source.measure(pairs, np.zeros(8, np.uint8))
    bench.plane.signal(change(bench.plane.signals.get_nowait()))
    with pytest.raises(Broken):
        await bench.sink.await_pairs()


@pytest.mark.parametrize(
    ("place", "wrong"), [(24, math.nan), (24, math.inf), (24, -1.0), (33, math.nan), (33, -math.inf)], ids=str
)
async def test_a_time_or_an_angle_that_is_none_breaks_the_exchange(pair_bench: Any, place: int, wrong: float) -> None:
    bench = pair_bench(eve=Eavesdropper(intercept_resend=1.0))
    await bench.source.measure(await bench.source.create_pairs(8), np.zeros(8, np.uint8))
    signal = bytearray(bench.plane.signals.get_nowait())
    signal[place : place + 8] = struct.pack("<d", wrong)
    bench.plane.signal(bytes(signal))
    with pytest.raises(Broken):
        await bench.sink.await_pairs()
    assert bench.sink.link_time == 0


async def test_more_angles_than_there_are_rows_break_the_exchange(pair_bench: Any) -> None:
    bench, angles = pair_bench(), MOST_ANGLES + 1
    pairs = await bench.source.create_pairs(8)
    await bench.source.measure(pairs, np.zeros(8, np.uint8))
    signal = bench.plane.signals.get_nowait()
    bench.plane.signal(signal[:-9] + bytes([angles]) + bytes(8 * angles) + signal[-8:])
    with pytest.raises(Broken):
        await bench.sink.await_pairs()


async def test_any_octets_are_some_state_and_a_basis_is_one_of_the_ports(pair_bench: Any) -> None:
    bench = pair_bench()
    pairs = await bench.source.create_pairs(256)
    await bench.source.measure(pairs, np.zeros(256, np.uint8))
    bench.plane.signal(bench.plane.signals.get_nowait()[:-256] + bytes(range(256)))
    arrived = await bench.sink.await_pairs()
    with pytest.raises(ValueError, match="basis"):
        await bench.sink.measure(arrived, np.full(256, 5, np.uint8))
    assert set((await bench.sink.measure(arrived, np.zeros(256, np.uint8))).tolist()) == {0, 1}
