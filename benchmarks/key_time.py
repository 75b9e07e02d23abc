"""Key formation over SimulaQron: time per key as in the paper's section 5.3, and pairs per second beside a bare loop.

1. The paper's experiment, one block per key and batched (`qkdbus bench key-time`), with plots beside its numbers.
2. In the same run, in turns: the whole stack forming keys as fast as readers at both ends take them, and the bare
   two-process SimulaQron loop of `bare_loop.py` (same engine, bases and batch size, no bus, no storage).

    python -m benchmarks.key_time [--keys 20] [--rounds 3] [--seconds 12]
"""

from __future__ import annotations

import argparse
import math
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from qkdbus.errors import QkdbusError
from qkdbus_client import Client, QoS
from qkdbus_deploy.key_time import ANCESTOR, ANCESTOR_RATE, PAPER, key_time, network_for
from qkdbus_deploy.sandbox import Sandbox, sandbox
from qkdbus_deploy.status import look

from . import bare_loop, report

SETTLE = 3.0  # s until the pipeline is full
BATCH = 512  # pairs


def stack_rate(seconds: float) -> dict[str, float]:
    """Form keys for `seconds` with a reader at each end; return pairs/s and delivered key bit/s in steady state."""
    with sandbox(network_for("batched", 256, "e91-same-bases")) as box:
        over = threading.Event()
        with Client("Alice", network=box.name, home=box.home) as alice:
            opened = alice.open_connect("app@Alice", "app@Bob", QoS(key_chunk_size=64, timeout=1000, ttl=3600))
        assert opened.ksid is not None, opened.reason
        taken = {"Alice": 0, "Bob": 0}
        with Client("Bob", network=box.name, home=box.home) as bob:
            bob.open_connect("app@Alice", "app@Bob", ksid=opened.ksid)
        readers = [
            threading.Thread(target=_read, args=(box, node, opened.ksid, over, taken), daemon=True) for node in taken
        ]
        for reader in readers:
            reader.start()
        time.sleep(SETTLE)
        first, at, bits = _created(box), time.perf_counter(), taken["Alice"]
        time.sleep(seconds)
        passed = time.perf_counter() - at
        rate = (_created(box) - first) / passed
        key_rate = 8 * 64 * (taken["Alice"] - bits) / passed
        over.set()
        for reader in readers:
            reader.join()
    return {"pairs_per_second": rate, "key_bits_per_second": key_rate}


def _read(box: Sandbox, node: str, ksid: Any, over: threading.Event, taken: dict[str, int]) -> None:
    with Client(node, network=box.name, home=box.home) as client:
        while not over.is_set():
            try:
                taken[node] += client.get_keys(ksid, 64).count
            except QkdbusError as error:
                report.say(f"{node}: {error}")


def _created(box: Sandbox) -> int:
    status = look(box.home / box.name)
    return next(link.created for link in status.links if link.arbiter)


def measure(keys: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Run everything; return the results as plain data."""
    rows = [timing.row() for timing in key_time(keys, say=report.say)]
    stack, bare = [], []
    for number in range(rounds):
        report.say(f"pairs per second, round {number + 1} of {rounds}")
        bare.append(bare_loop.measure(pairs=60_000, batch=BATCH, engine="stabilizer"))
        stack.append(stack_rate(seconds))
        report.say(f"  bare {bare[-1]['pairs_per_second']:.0f}, stack {stack[-1]['pairs_per_second']:.0f}")
    profile = bare_loop.measure(pairs=30_000, batch=BATCH, engine="stabilizer", profile=True)["profile"][:8]
    return {"rows": rows, "stack": stack, "bare": bare, "bare_profile": profile, "sifting": _sifting(rows)}


def _sifting(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Hold the share of pairs that sifting discards against 2/3, in standard errors."""
    created, out = sum(r["created"] for r in rows), sum(r["sifted_out"] for r in rows)
    error = math.sqrt(2 / 9 / max(1, created))
    share = out / max(1, created)
    return {"created": created, "share": share, "sigmas": (share - 2 / 3) / error}


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw time per key and discarded pairs per key against the key size, beside the paper and its code."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2))
    left.plot(list(PAPER), list(PAPER.values()), "ks", label="paper (Fig. 10, read)")
    left.plot(list(ANCESTOR), list(ANCESTOR.values()), "k--", marker="x", label="its code, 2 cores")
    for mode, style in (("one block per key", "o-"), ("batched", "^-")):
        ours = [row for row in rows if row["mode"] == mode]
        left.plot([r["key_bits"] for r in ours], [r["seconds_per_key"] for r in ours], style, label=f"qkdbus, {mode}")
        right.plot([r["key_bits"] for r in ours], [r["discarded_per_key"] for r in ours], style, label=mode)
    left.set(yscale="log", xlabel="key size, bits", ylabel="s per key")
    right.plot([64, 512], [128, 1024], "k--", label="2 per key bit (three bases, no estimation)")
    right.set(xlabel="key size, bits", ylabel="pairs sifted out per key")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def page(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    rows, sifting = found["rows"], found["sifting"]
    bare = statistics.median(r["pairs_per_second"] for r in found["bare"])
    stack = statistics.median(r["pairs_per_second"] for r in found["stack"])
    ratio = statistics.median(
        s["pairs_per_second"] / b["pairs_per_second"] for s, b in zip(found["stack"], found["bare"], strict=True)
    )
    bits = statistics.median(r["key_bits_per_second"] for r in found["stack"])
    names = ["mode", "key_bits", "keys", "equal", "seconds_per_key", "bits_per_second", "pairs_per_key",
             "discarded_per_key", "qber", "times_ancestor"]  # fmt: skip
    experiment = report.table([name.replace("_", " ") for name in names], [[r[n] for n in names] for r in rows])
    rates = report.table(
        ["", "pairs/s, median", "rounds"],
        [
            ["bare loop", bare, ", ".join(f"{r['pairs_per_second']:,.0f}" for r in found["bare"])],
            ["whole stack", stack, ", ".join(f"{r['pairs_per_second']:,.0f}" for r in found["stack"])],
        ],
    )
    spent = [[r["function"], r["own_s"], r["calls"]] for r in found["bare_profile"]]
    costs = report.table(["function", "own s", "calls"], spent)
    return f"""## The paper's experiment

Two neighbours, SimulaQron's stabilizer engine, `e91-same-bases`. Times run from `open_connect` to the last key at both
ends, first exchange included. The paper reads 20 s per 64-bit key and 2 min per 512-bit key; its code reached
{ANCESTOR_RATE} bit/s on 2 cores. A block gives up 64 bits for its verification and at least 16 for the QBER, which
is why short blocks cost more pairs per bit.

{experiment}

Sifted out: {sifting["share"]:.4f} of {sifting["created"]:,} pairs, {sifting["sigmas"]:+.2f} standard errors from 2/3.

![time per key](key-time.png)

## Pairs per second

Key formation by the whole stack (readers at both ends, {bits:,.0f} bit/s of key delivered, {bits / ANCESTOR_RATE:,.0f}
times the ancestor) and the bare loop, in turns: **{ratio:.2f}** of the bare loop (median of the rounds' ratios).

{rates}

Where the bare loop's source spends its time (under a profiler, which slows it down):

{costs}
"""


def main() -> None:
    """Measure, write docs/key-time.md and its plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0)
    asked = parser.parse_args()
    where = report.machine()
    found = measure(asked.keys, asked.rounds, asked.seconds)
    report.write(
        "key-time", "Key formation over SimulaQron", "python -m benchmarks.key_time", page(found), found, where
    )
    plot(found["rows"], report.DOCS / "key-time.png")
    print(page(found))


if __name__ == "__main__":
    main()
