"""Both ends of a line of weak pulses on a photonic link, in memory, and what is counted there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.emulators.photonic.clock import LinkClock
from qkdbus_qbackend.emulators.photonic.emulator import PhotonicEmulator
from qkdbus_qbackend.emulators.port import Clicks, Sent

NOBODY = Eavesdropper()
# Every pulse clicks: a bench on which only the states matter.
BRIGHT = PulseSetup(1e9, (1e3, 1e3), (0.5, 0.5), 0.5, 0.5, 0.0, 1.0, 0.0)
Flags = npt.NDArray[np.bool_]


class Plane:
    """A quantum plane in memory."""

    def __init__(self) -> None:
        self.signals: asyncio.Queue[bytes] = asyncio.Queue()

    def signal(self, body: bytes) -> None:
        self.signals.put_nowait(body)

    async def sense(self) -> bytes:
        return await self.signals.get()


@dataclass
class Seen:
    """What both ends have of some batches."""

    setup: PulseSetup
    sent: int
    clicks: Clicks
    source: Sent

    def clicked(self, intensity: int) -> int:
        return int(np.count_nonzero(self.source.intensities == intensity))

    def gain_off(self, intensity: int, gain: float) -> float:
        """By how many standard errors the gain of an intensity differs from `gain`."""
        p = self.setup.probabilities[intensity] * gain
        return (self.clicked(intensity) - self.sent * p) / sqrt(self.sent * p * (1 - p))

    def errors(self, intensity: int | None = None, basis: int | None = None, same: bool = True) -> tuple[int, int]:
        """Wrong outcomes, and all of them, where the bases are the same (or not)."""
        here: Flags = (self.source.bases == self.clicks.bases) == same
        if intensity is not None:
            here &= self.source.intensities == intensity
        if basis is not None:
            here &= self.source.bases == basis
        return int(np.count_nonzero((self.source.bits != self.clicks.bits) & here)), int(np.count_nonzero(here))

    def qber(self, **where: Any) -> float:
        wrong, count = self.errors(**where)
        return wrong / count

    def qber_off(self, qber: float, **where: Any) -> float:
        """By how many standard errors the QBER differs from `qber`."""
        wrong, count = self.errors(**where)
        return (wrong - count * qber) / sqrt(count * qber * (1 - qber))


class PulseBench:
    """Both ends of a line. Even what a real line takes from the system's generator is the same in each run."""

    def __init__(
        self,
        setup: PulseSetup = BRIGHT,
        eve: Eavesdropper | Callable[[], Eavesdropper] = NOBODY,
        seed: int = 1,
        token: Callable[[int], bytes] | None = None,
        clock: LinkClock | None = None,
    ) -> None:
        self.setup, self.plane = setup, Plane()
        self.clock = clock or LinkClock(0.0, lambda: 0.0, asyncio.sleep)
        token = token or np.random.default_rng(1000 + seed).bytes
        here = eve if callable(eve) else lambda: eve
        self.emulators = [PhotonicEmulator(self.plane, setup, here, self.clock, token, seed) for _ in range(2)]
        alice, bob = self.emulators
        self.source = alice.pulse_line("source", "Bob", "line")
        self.sink = bob.pulse_line("sink", "Alice", "line")

    async def run(self, clicks: int = 200_000, batches: int = 1) -> Seen:
        """Send and detect some batches."""
        sent, seen, known = 0, [], []
        for _ in range(batches):
            pulses = await self.source.send_pulses(clicks)
            assert await self.sink.await_pulses() == pulses
            found = await self.sink.detect(pulses)
            known.append(await self.source.recall(pulses, found.which))
            seen.append(found)
            sent += pulses.sent
        both = [np.concatenate([getattr(each, name) for each in seen]) for name in ("bases", "bits")]
        hers = [np.concatenate([getattr(each, name) for each in known]) for name in ("bases", "bits", "intensities")]
        assert len({len(column) for column in both + hers}) == 1
        return Seen(self.setup, sent, Clicks(sum(each.count for each in seen), b"", *both), Sent(*hers))


@pytest.fixture
def pulse_bench() -> type[PulseBench]:
    """Return a maker of benches."""
    return PulseBench


@pytest.fixture
def bright() -> PulseSetup:
    """Return a setup on which every pulse clicks."""
    return BRIGHT


@pytest.fixture
def gys() -> Callable[[float], PulseSetup]:
    """Return a maker of the setup of Gobby, Yuan, Shields (2004), with decoys, over so many km."""

    def make(km: float) -> PulseSetup:
        intensities, probabilities = (0.48, 0.05, 0.0), (0.5, 0.3, 0.2)
        return PulseSetup(2e6, intensities, probabilities, 0.5, 0.5, 0.21 * km, 0.045, 1.7e-6, misalignment=0.033)

    return make
