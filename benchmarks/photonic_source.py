"""How fast the photonic emulator draws weak pulses: source and receiver, beside plain numpy in the same run.

Source: settings of the pulses that can click, their light, its description (`send_pulses`), and what was sent in those
that clicked (`recall`). Receiver: reading the description, bases, Born's rule, dead time (`await_pulses`, `detect`).
Plain numpy draws the same, a number or more a pulse, without the description. CPU time of one core, the best of the
rounds.

    python -m benchmarks.photonic_source [--events 1000000] [--rounds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np

from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.emulators.photonic import kernels
from qkdbus_qbackend.emulators.photonic.clock import LinkClock
from qkdbus_qbackend.emulators.photonic.emulator import PhotonicEmulator

from . import report

NOBODY = Eavesdropper()
FAST = PulseSetup(2.5e9, (0.48, 0.25), (0.6, 0.4), 0.94, 0.94, 2.2, 0.677, 4e-8, misalignment=0.0035)
BLIND = replace(FAST, dead_time_s=30e-9, detectors=8)
DECOYS = PulseSetup(2e6, (0.48, 0.05, 0.0), (0.3, 0.45, 0.25), 0.5, 0.5, 4.2, 0.045, 1.7e-6, misalignment=0.033)


@dataclass(frozen=True)
class Case:
    """What is measured; `numpy` too where the reference does the same."""

    name: str
    setup: PulseSetup
    eve: Eavesdropper = NOBODY
    plain: bool = False
    compiled: bool = True


CASES = (
    Case("two intensities, 94 % Z, 0.35 % wrong", FAST, plain=True),
    Case("three intensities, even bases, 3.3 % wrong", DECOYS, plain=True),
    Case("the first, dead time 30 ns, 2 x 8 pixels", BLIND),
    Case("the same without a compiler", BLIND, compiled=False),
    Case("the first, 10 % intercepted at 0 and 45 degrees", FAST, Eavesdropper(intercept_resend=0.1)),
    Case("the first, 10 % intercepted at 10 degrees", FAST, Eavesdropper(intercept_resend=0.1, bases=(10.0,))),
)


class Plane:
    """A quantum plane in memory."""

    def __init__(self) -> None:
        self.last = b""

    def signal(self, body: bytes) -> None:
        """Keep the message."""
        self.last = body

    async def sense(self) -> bytes:
        """Return it."""
        return self.last


async def lines(case: Case, events: int, rounds: int) -> tuple[float, float, float]:
    """Return events per s of source and receiver, and octets of the description per event."""
    plane, clock = Plane(), LinkClock(0.0, time.monotonic, asyncio.sleep)
    both = [PhotonicEmulator(plane, case.setup, lambda: case.eve, clock, os.urandom, seed=1) for _ in range(2)]
    source, sink = both[0].pulse_line("source", "Bob", ""), both[1].pulse_line("sink", "Alice", "")
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        start = time.process_time()
        pulses = await source.send_pulses(events)
        sent = time.process_time()
        found = await sink.detect(await sink.await_pulses())
        seen = time.process_time()
        await source.recall(pulses, found.which)
        end = time.process_time()
        best[0] = min(best[0], (sent - start + end - seen) / found.count)
        best[1] = min(best[1], (seen - sent) / found.count)
    return 1 / best[0], 1 / best[1], len(plane.last) / found.count


def plain(setup: PulseSetup, events: int, rounds: int) -> tuple[float, float]:
    """Return events per s of source and receiver in plain numpy: float draws compared with probabilities."""
    dice = np.random.default_rng(1)
    clicks = [1 - (1 - setup.dark_probability) * np.exp(-setup.eta * mu) for mu in setup.intensities]
    weights = np.cumsum(np.multiply(setup.probabilities, clicks))
    dark = np.array([setup.dark_probability / click for click in clicks])
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        start = time.process_time()
        intensities = np.searchsorted(weights[:-1] / weights[-1], dice.random(events)).astype(np.uint8)
        bases = (dice.random(events) >= setup.p_z_source).view(np.uint8)
        bits = dice.integers(0, 2, events, dtype=np.uint8)
        random = dice.random(events) < dark[intensities]
        sent = time.process_time()
        mine = (dice.random(events) >= setup.p_z_receiver).view(np.uint8)
        even = random | (mine != bases)
        wrong = dice.random(events) < setup.misalignment
        outcomes = np.where(even, dice.integers(0, 2, events, dtype=np.uint8), bits ^ wrong)
        end = time.process_time()
        assert len(outcomes) == events
        best = [min(best[0], sent - start), min(best[1], end - sent)]
    return events / best[0], events / best[1]


def measure(case: Case, events: int, rounds: int) -> list[object]:
    """Return a row of the table."""
    if not case.compiled:
        events, rounds = events // 8, 2
    with patch.dict(sys.modules, {} if case.compiled else {"numba": None}):
        kernels.compiled.cache_clear()
        source, receiver, octets = asyncio.run(lines(case, events, rounds))
        kernels.compiled.cache_clear()
    beside = plain(case.setup, events, rounds) if case.plain else ()
    return [case.name, source / 1e6, receiver / 1e6, octets, *([rate / 1e6 for rate in beside] or ("", ""))]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    where = report.machine()
    rows = [measure(case, asked.events, asked.rounds) for case in CASES]
    print(f"{where['cores']} cores, {where['cpu']}, load before {where['load_before']}; million clicks per s of CPU")
    print(report.table(("", "source", "receiver", "octets/click", "numpy source", "numpy receiver"), rows))


if __name__ == "__main__":
    main()
