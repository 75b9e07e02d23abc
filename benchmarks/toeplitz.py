"""Privacy amplification alone: input bits a second by size of block, for both paths, in one run, on one core.

The baseline is the textbook method: a cyclic convolution by numpy's FFT, which is the portable path. Each figure is
the best of several calls by the processor time of the calling thread; `wall` is the best by the clock. Results are
compared bit for bit. The time that the kernels take to compile is that of an empty cache if --compile is given.

    python benchmarks/toeplitz.py --log 17 20 22 --ratio 0.4 --repeat 10 [--compile]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qkdbus_qbackend.distil import toeplitz

Octets = npt.NDArray[np.uint8]
START = """
import time; begin = time.thread_time(), time.perf_counter()
from qkdbus_qbackend.distil import toeplitz
assert toeplitz.has_fast_path()
print(f"{time.thread_time() - begin[0]:.1f} s of processor time, {time.perf_counter() - begin[1]:.1f} s by the clock")
"""


@dataclass(frozen=True)
class Timing:
    """The best of several calls, in seconds, and what the last one returned."""

    cpu: float
    wall: float
    key: Octets


def best(call: Callable[[], Octets], repeat: int) -> Timing:
    """Call `repeat` times."""
    cpus, walls = [], []
    for _ in range(repeat):
        cpu, wall = time.thread_time(), time.perf_counter()
        key = call()
        cpus.append(time.thread_time() - cpu)
        walls.append(time.perf_counter() - wall)
    return Timing(min(cpus), min(walls), key)


def measure(count: int, length: int, repeat: int) -> str:
    """Return a row of the table for one size of block."""
    seed = os.urandom(-(-toeplitz.seed_bits(count, length) // 8))
    octets = np.frombuffer(os.urandom(-(-count // 8)), np.uint8)
    slow, fast = (
        best(lambda path=path: toeplitz.hash_bits(seed, octets, count, length, fast=path), times)  # type: ignore[misc]
        for path, times in ((False, max(2, repeat // 4)), (True, repeat))
    )
    assert np.array_equal(slow.key, fast.key), "the paths differ"
    figures = (f"{count / taken / 1e6:.1f}" for taken in (slow.cpu, slow.wall, fast.cpu, fast.wall))
    return " | ".join(["", str(count), str(length), *figures, f"{slow.cpu / fast.cpu:.0f}x", ""]).strip()


def start_up() -> None:
    """Tell how long the fast path takes to be ready, with an empty cache of kernels and with a full one."""
    with tempfile.TemporaryDirectory() as cache:
        for name in ("compiled", "from the cache"):
            done = subprocess.run(
                [sys.executable, "-c", START],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"{name}: {done.stdout.strip()}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=int, nargs="+", default=[12, 14, 17, 18, 19, 20, 21, 22, 23])
    parser.add_argument("--ratio", type=float, nargs="+", default=[0.4], help="length of the key / of the block")
    parser.add_argument("--repeat", type=int, default=12)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    if options.compile:
        start_up()
    print("fast path:", "yes" if toeplitz.has_fast_path() else "no, both columns are the portable path")
    print("| input bits | key bits | portable Mb/s (CPU) | (wall) | fast Mb/s (CPU) | (wall) | ratio |")
    print("|---|---|---|---|---|---|---|")
    for ratio in options.ratio:
        for log in options.log:
            print(measure(1 << log, max(8, int(ratio * (1 << log)) // 8 * 8), options.repeat), flush=True)


if __name__ == "__main__":
    main()
