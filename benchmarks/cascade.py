"""Error correction alone: both ends' CPU time in one thread, told bits against a perfect code's, rounds, traffic.

The baseline is the portable form, in the same run. Errors are injected, so every block is compared with the truth.

python -m benchmarks.cascade [--bits 4194304] [--blocks 20] [--qber 0.0035 ...] [--write]
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qkdbus_qbackend.distil import reconcile
from qkdbus_qbackend.distil.cascade.schedule import entropy
from qkdbus_qbackend.protocols.talk import Tell, converse

from . import report

QBERS = (0.0005, 0.001, 0.0035, 0.01, 0.02, 0.03, 0.05, 0.08, 0.11)
HEADINGS = ("bits", "QBER", "Mb/s", "portable Mb/s", "times", "f", "rounds", "octets said / bit", "wrong blocks")


@dataclass
class Row:
    """One size and error rate: `megabits` and `portable_megabits` per second of CPU, best block of all."""

    bits: int
    qber: float
    megabits: float
    portable_megabits: float
    efficiency: float
    rounds: float
    octets_per_bit: float
    blocks: int
    wrong: int


class Counted:
    """A talk that counts the octets it says."""

    def __init__(self, talk: Any) -> None:
        self._talk, self.octets = talk, 0

    def send(self, heard: Any) -> Any:
        """Go on with the talk."""
        wish = self._talk.send(heard)
        if isinstance(wish, Tell):
            self.octets += len(wish.body)
        return wish


def once(bits: int, qber: float, fast: bool, dice: np.random.Generator) -> dict[str, Any]:
    """Correct one block; return what it took."""
    ours = np.frombuffer(bytearray(os.urandom(bits // 8)), np.uint8)
    errors = np.packbits(dice.random(bits) < qber, bitorder="little")
    method = reconcile.method("cascade")
    ends: Any = (
        Counted(method.source(ours, bits, qber, os.urandom, fast=fast)),
        Counted(method.sink(ours ^ errors, bits, qber, fast=fast)),
    )
    begin = time.thread_time()
    at_source, at_sink = converse(*ends)
    seconds = time.thread_time() - begin
    wrong = int(np.bitwise_count(errors).sum()) if hasattr(np, "bitwise_count") else int(np.unpackbits(errors).sum())
    return {
        "seconds": seconds,
        "f": at_source.leaked / bits / entropy(wrong / bits) if wrong else 0.0,
        "rounds": at_source.rounds,
        "octets": sum(end.octets for end in ends),
        "wrong": not (at_sink.octets == ours).all(),
    }


def measure(bits: int, qber: float, blocks: int, seed: int = 1) -> Row:
    """Correct so many blocks in compiled code, and a tenth of them in the portable form."""
    dice = np.random.default_rng(seed)
    once(bits, qber, True, dice)  # compiles, and makes the orders
    fast = [once(bits, qber, True, dice) for _ in range(blocks)]
    slow = [once(bits, qber, False, dice) for _ in range(max(1, blocks // 10))]
    return Row(
        bits,
        qber,
        bits / 1e6 / min(run["seconds"] for run in fast),
        bits / 1e6 / min(run["seconds"] for run in slow),
        float(np.mean([run["f"] for run in fast])),
        float(np.mean([run["rounds"] for run in fast])),
        float(np.mean([run["octets"] for run in fast])) / bits,
        len(fast) + len(slow),
        sum(run["wrong"] for run in fast + slow),
    )


def body(rows: list[Row]) -> str:
    """Return the page."""
    cells = [
        (
            row.bits,
            f"{100 * row.qber:g} %",
            row.megabits,
            row.portable_megabits,
            row.megabits / row.portable_megabits,
            f"{row.efficiency:.3f}",
            round(row.rounds),
            row.octets_per_bit,
            f"{row.wrong} of {row.blocks}",
        )
        for row in rows
    ]
    return (
        report.table(HEADINGS, cells)
        + "\n\nMb/s: bits of the block by CPU seconds of both ends together, best block. f: bits told, by what a "
        "perfect code would tell (n h(e), e the true error rate). Wrong blocks: before verification, which drops them."
    )


def main() -> None:
    """Measure, print, and write docs/cascade.md if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=[1 << 22])
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--qber", type=float, nargs="+", default=list(QBERS))
    parser.add_argument("--write", action="store_true", help="write docs/cascade.md and docs/data/cascade.json")
    asked = parser.parse_args()
    where, rows = report.machine(), []
    for bits in asked.bits:
        for qber in asked.qber:
            rows.append(measure(bits, qber, asked.blocks))
            report.say(f"{bits} bits, {100 * qber:g} %: {rows[-1].megabits:.0f} Mb/s")
    print(body(rows))
    if asked.write:
        data = [asdict(row) for row in rows]
        report.write("cascade", "Error correction", "python -m benchmarks.cascade", body(rows), data, where)


if __name__ == "__main__":
    main()
