"""The baseline of `benchmarks.photonic_stack`: what a block takes of the kernels alone, both ends, in one thread.

The same source, detectors, sifting, error correction, verification and privacy amplification as in the services, called
one after the other: no messages, no sockets, no storage. Both ends' processor time by stage; the best of the rounds.

    python -m benchmarks.photonic_kernels [--block 8388608] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import operator
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.entropy import entropy
from qkdbus.physics.finite import FINITE
from qkdbus.physics.finite_decoy import DecoyCounts
from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.distil import amplify, reconcile, secrecy, verify
from qkdbus_qbackend.emulators.photonic.clock import LinkClock
from qkdbus_qbackend.emulators.photonic.emulator import PhotonicEmulator
from qkdbus_qbackend.exchange import BATCH
from qkdbus_qbackend.protocols import PROTOCOLS
from qkdbus_qbackend.protocols.bb84 import DecoyBB84
from qkdbus_qbackend.protocols.sifting import Sifted
from qkdbus_qbackend.protocols.talk import converse

from . import report

CLICKS = BATCH["photonic"]  # in one batch, as in the services


@dataclass
class Block:
    """What became of one block: bits, errors, bits told, key bits; processor s by stage."""

    kept: int = 0
    corrected: int = 0
    leaked: int = 0
    rounds: int = 0
    length: int = 0
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_s(self) -> float:
        """Processor time of both ends."""
        return sum(self.stages.values())

    @property
    def efficiency(self) -> float:
        """f of the error correction."""
        return self.leaked / (self.kept * entropy(self.corrected / self.kept)) if self.corrected else 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the processor time of what is done inside."""
        begun = time.process_time()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.process_time() - begun


class _Plane:
    """A quantum plane in memory."""

    def __init__(self) -> None:
        self._last = b""

    def signal(self, body: bytes) -> None:
        self._last = body

    async def sense(self) -> bytes:
        return self._last


class Bench:
    """Both ends of a link of weak pulses."""

    def __init__(self, setup: PulseSetup, protocol: str) -> None:
        found = PROTOCOLS[protocol]
        assert isinstance(found, DecoyBB84)
        self._setup, self._protocol, self._name = setup, found.on(setup), protocol
        self._loop = asyncio.Runner()
        plane, clock, nobody = _Plane(), LinkClock(0.0, time.monotonic, asyncio.sleep), Eavesdropper()
        ends = [PhotonicEmulator(plane, setup, lambda: nobody, clock, os.urandom, seed) for seed in (1, 2)]
        self._source, self._sink = ends[0].pulse_line("source", "Bob", ""), ends[1].pulse_line("sink", "Alice", "")

    def block(self, bits: int) -> Block:
        """Make one of at least `bits` sifted bits."""
        block = Block()
        batches: list[tuple[Sifted, Sifted]] = []
        while sum(len(ours.bits) for ours, _ in batches) < bits:
            batches.append(self._batch(block))
        with block.stage("gathering"):
            ours, theirs = (_packed([pair[end] for pair in batches], bits) for end in (0, 1))
            marks = np.concatenate([sifted.marks for sifted, _ in batches if sifted.marks is not None])[:bits]
            counts = [sifted.evidence for sifted, _ in batches]
        found = self._reconcile(block, ours, theirs, bits)
        with block.stage("verification"):
            converse(verify.source(ours, os.urandom, fast=True), verify.sink(found, fast=True))
        self._amplify(block, ours, found, marks, counts)
        return block

    def _batch(self, block: Block) -> tuple[Sifted, Sifted]:
        with block.stage("source"):
            pulses = self._loop.run(self._source.send_pulses(CLICKS))
        with block.stage("receiver"):
            arrived = self._loop.run(self._sink.await_pulses())
            clicks = self._loop.run(self._sink.detect(arrived))
        with block.stage("source"):
            sent = self._loop.run(self._source.recall(pulses, clicks.which))
        with block.stage("sifting"):
            one, other = self._protocol.source(pulses, os.urandom), self._protocol.sink(arrived, os.urandom)
            return converse(one, other, hands=(lambda wish: sent, lambda wish: clicks))

    def _reconcile(self, block: Block, ours: Any, theirs: Any, bits: int) -> Any:
        method = reconcile.method(reconcile.DEFAULT)
        expected = max(self._setup.misalignment, 1e-4)
        with block.stage("reconciliation"):
            one, other = converse(
                method.source(ours, bits, expected, os.urandom, fast=True),
                method.sink(theirs, bits, expected, fast=True),
            )
        block.kept, block.leaked, block.corrected, block.rounds = bits, one.leaked, other.corrected, one.rounds
        self._flipped = other.flipped
        return other.octets

    def _amplify(self, block: Block, ours: Any, theirs: Any, marks: Any, counts: list[Any]) -> None:
        with block.stage("judging"):
            evidence = functools.reduce(operator.add, counts)
            assert isinstance(evidence, DecoyCounts)
            assert self._flipped is not None
            corrected = secrecy.by_mark(marks, self._flipped, len(self._setup.intensities))
            judged = secrecy.Block(kept=block.kept, leaked=block.leaked, corrected=corrected)
            block.length = secrecy.judge(self._name, judged, evidence, FINITE, self._setup).length // 8 * 8
        if block.length:
            with block.stage("amplification"):
                keys = converse(
                    amplify.source(ours, block.kept, block.length, os.urandom, fast=True),
                    amplify.sink(theirs, block.kept, block.length, fast=True),
                )
            assert np.array_equal(*keys), "the ends hold different keys"


def best(setup: PulseSetup, protocol: str, bits: int, rounds: int) -> Block:
    """Return the round that took least; a first one, in which kernels are loaded, does not count."""
    bench = Bench(setup, protocol)
    bench.block(min(bits, 1 << 18))
    return min((bench.block(bits) for _ in range(rounds)), key=lambda block: block.cpu_s)


def _packed(batches: list[Sifted], bits: int) -> Any:
    return np.packbits(np.concatenate([sifted.bits for sifted in batches])[:bits], bitorder="little")


def main() -> None:
    """Print a table."""
    from .photonic_stack import PROTOCOL, QBERS, setup_for

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--block", type=int, default=1 << 23)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rows = []
    for qber in QBERS:
        block = best(setup_for(qber), PROTOCOL, asked.block, asked.rounds)
        each = {name: f"{1e9 * seconds / block.kept:.1f}" for name, seconds in block.stages.items()}
        share = block.length / block.kept
        rows.append([f"{qber:.2%}", block.efficiency, block.rounds, share, block.kept / block.cpu_s / 1e6, each])
    print(report.table(("QBER", "f", "rounds", "key / sifted", "sifted Mb/s of CPU", "ns of CPU per sifted bit"), rows))


if __name__ == "__main__":
    main()
