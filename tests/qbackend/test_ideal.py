"""The ideal emulator keeps the emulator port, and its noise is the Pauli noise asked for."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import numpy as np
import pytest

from qkdbus.errors import Refused, Unavailable
from qkdbus.network.model import Noise
from qkdbus_qbackend.emulators.ideal import IdealEmulator
from qkdbus_qbackend.emulators.port import PAULI, Line, X, Y, Z
from qkdbus_qbackend.failure import Broken

QUIET = Noise()


class Memory:
    """A quantum plane in memory."""

    def __init__(self) -> None:
        self.signals: asyncio.Queue[bytes] = asyncio.Queue()

    def signal(self, body: bytes) -> None:
        self.signals.put_nowait(body)

    async def sense(self) -> bytes:
        return await self.signals.get()


def ends(noise: Noise = QUIET, seed: int = 1) -> tuple[Line, Line]:
    plane = Memory()
    source, sink = (IdealEmulator(plane, noise, os.urandom, seed) for _ in range(2))
    return source.line("source", "Bob", "line"), sink.line("sink", "Alice", "line")


async def measured(noise: Noise, mine: int, theirs: int, count: int = 40_000, seed: int = 1) -> float:
    """The share of pairs whose outcomes differ, for one basis at each end."""
    source, sink = ends(noise, seed)
    made, arrived = await source.create_pairs(count), await sink.await_pairs()
    assert made == arrived
    one = await source.measure(made, np.full(count, mine, np.uint8))
    other = await sink.measure(arrived, np.full(count, theirs, np.uint8))
    return np.count_nonzero(one != other) / count


@pytest.mark.parametrize(("basis", "differ"), [(Z, 0), (X, 0), (Y, 1)])
async def test_equal_bases_give_what_phi_plus_gives(basis: int, differ: int) -> None:
    assert await measured(QUIET, basis, basis) == differ


@pytest.mark.parametrize(("mine", "theirs"), [(Z, X), (X, Z), (Z, Y), (Y, Z), (X, Y), (Y, X)])
async def test_different_bases_give_independent_outcomes(mine: int, theirs: int) -> None:
    assert abs(await measured(QUIET, mine, theirs) - 0.5) < 0.015


@pytest.mark.parametrize(
    ("noise", "flipped"),
    [
        (Noise(x=0.1), {Z: 0.1, X: 0.0, Y: 0.1}),
        (Noise(y=0.1), {Z: 0.1, X: 0.1, Y: 0.0}),
        (Noise(z=0.1), {Z: 0.0, X: 0.1, Y: 0.1}),
        (Noise(x=0.05, y=0.1, z=0.02), {Z: 0.15, X: 0.12, Y: 0.07}),
    ],
)
@pytest.mark.parametrize("basis", [Z, X, Y])
async def test_a_pauli_flips_the_bases_that_it_does_not_commute_with(noise: Noise, flipped: Any, basis: int) -> None:
    differ = await measured(noise, basis, basis)
    wrong = 1 - differ if basis == Y else differ
    assert wrong == 0 if flipped[basis] == 0 else abs(wrong - flipped[basis]) < 0.01


async def test_noise_is_repeatable_and_outcomes_are_not() -> None:
    first, again, other = [await measured(Noise(x=0.3), Z, Z, 1000, seed) for seed in (4, 4, 5)]
    assert first == again != other
    outcomes = []
    for _ in range(2):
        source, _ = ends(seed=4)
        pairs = await source.create_pairs(200)
        outcomes.append((await source.measure(pairs, np.zeros(200, np.uint8))).tobytes())
    assert outcomes[0] != outcomes[1]


async def test_batches_arrive_in_order_and_are_measured_once() -> None:
    source, sink = ends()
    made = [await source.create_pairs(count) for count in (3, 8, 100)]
    arrived = [await sink.await_pairs() for _ in range(3)]
    assert made == arrived and len({pairs.batch for pairs in made}) == 3
    for pairs in reversed(arrived):
        bases = np.full(pairs.count, Z, np.uint8)
        ours, theirs = await source.measure(pairs, bases), await sink.measure(pairs, bases)
        assert ours.shape == (pairs.count,) and (ours == theirs).all()
        with pytest.raises(Unavailable):
            await sink.measure(pairs, bases)


async def test_a_discarded_line_has_nothing_left_to_measure() -> None:
    source, _ = ends()
    pairs = await source.create_pairs(8)
    await source.discard()
    with pytest.raises(Unavailable):
        await source.measure(pairs, np.zeros(8, np.uint8))


def test_it_has_pauli_bases_no_pulses_and_no_clock() -> None:
    emulator = IdealEmulator(Memory(), QUIET, os.urandom, 1)
    assert emulator.bases == PAULI and emulator.link_time() == 0
    with pytest.raises(Refused):
        emulator.pulse_line("source", "Bob", "line")


@pytest.mark.parametrize("body", [b"", bytes(15), bytes(8) + b"\xff" * 8, bytes(8) + b"\x09" + bytes(7 + 5)])
async def test_a_quantum_signal_that_cannot_be_read_breaks_the_exchange(body: bytes) -> None:
    plane = Memory()
    plane.signal(body)
    with pytest.raises(Broken):
        await IdealEmulator(plane, QUIET, os.urandom, 1).line("sink", "Alice", "line").await_pairs()
