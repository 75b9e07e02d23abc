"""Multiply bits by a random Toeplitz matrix over GF(2), by the fastest of two paths that give the same bits.

y = T x, with T[i, j] = bit (i - j + count - 1) of the seed, 0 <= i < length, 0 <= j < count: the first bit of the seed
stands in the upper right corner, the last one in the lower left. The family is universal, and more: for x != x' the
value T x + T x' is uniform, so a collision has probability 2^-length exactly (Y. Mansour, N. Nisan, P. Tiwari, STOC
1990; H. Krawczyk, CRYPTO 1994).

`portable` needs numpy alone. `fast` needs numba and a processor with carry-less multiplication; it is imported when
first asked for, and tried once against the other path. Without it the portable path takes its place silently.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from . import portable
from .basis import LARGEST

Octets = npt.NDArray[np.uint8]
Path = Callable[[Octets, Octets, int, int], Octets]
_LONGEST = 31 << LARGEST  # bits of a seed, 32 to a coefficient; some are lost where block and key end
_TRIAL = (45_003, 24_000)  # count, length: small, but touches every kernel


def seed_bits(count: int, length: int) -> int:
    """Return how many bits the seed of a matrix of `length` rows and `count` columns has."""
    return count + length - 1


def hash_bits(seed: bytes | Octets, octets: Octets, count: int, length: int, *, fast: bool) -> Octets:
    """Return y = T x, shape (length / 8,), packed, lowest bit first.

    `seed`: ceil((count + length - 1) / 8) octets, lowest bit first; what its last octet has beyond that is ignored.
    `octets`: x, its first `count` bits, lowest bit first; longer is allowed. `length`: a multiple of 8.
    `fast`: numba may be imported. The bits are the same either way. ValueError when sizes do not fit.
    """
    if length % 8 or count < 1 or length < 8:
        raise ValueError(f"cannot hash {count} bits to {length}")
    row = np.frombuffer(seed, np.uint8) if isinstance(seed, bytes) else seed
    if len(row) != -(-seed_bits(count, length) // 8) or 8 * len(octets) < count:
        raise ValueError(f"{len(row)} octets of seed, {len(octets)} octets of input for {count} bits to {length}")
    path = _fast_path() if fast and seed_bits(count, length) <= _LONGEST else None
    return (path or portable.hash_bits)(row, octets[: -(-count // 8)], count, length)


def has_fast_path() -> bool:
    """Tell whether this machine has the fast path. Imports numba, if there is any, and compiles at the first call."""
    return _fast_path() is not None


@cache
def _fast_path() -> Path | None:
    if sys.byteorder != "little":
        return None
    try:
        from . import fast
    except ImportError:
        return None
    if not fast.usable():
        return None
    count, length = _TRIAL
    seed, octets = _trial(-(-seed_bits(count, length) // 8)), _trial(-(-count // 8))[::-1].copy()
    wanted = portable.hash_bits(seed, octets, count, length)
    return fast.hash_bits if np.array_equal(fast.hash_bits(seed, octets, count, length), wanted) else None


def _trial(count: int) -> Octets:
    """Return octets without much of a pattern; no chance is needed here."""
    return (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(56)).astype(np.uint8)
