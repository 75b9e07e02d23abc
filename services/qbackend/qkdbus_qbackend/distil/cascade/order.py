"""Public randomness of one block: in which order each pass takes the places, and the subsets of the final checks.

It must come out alike on every machine and every release of NumPy, so it is made of raw words of PCG64 (whose stream
NumPy promises to keep) and of nothing else of its random module. A pass's order is a fixed random permutation, made
once for each size, followed by an affine map that the block's seed draws.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .schedule import Schedule

SEED = 16  # octets
Order = npt.NDArray[np.uint32]
Codes = npt.NDArray[np.uint16]
Words = npt.NDArray[np.uint64]
_FIXED = 0x71B5_ED03


class Public:
    """What a block's seed decides."""

    def __init__(self, seed: bytes, schedule: Schedule) -> None:
        self._seed, self._places, self._depth, self._lanes = seed, schedule.places, schedule.depth, schedule.lanes
        words = np.random.PCG64(int.from_bytes(seed, "little")).random_raw(2 * len(schedule.sizes))
        self._factors = (words[0::2] & np.uint64(0xFFFFFFFF)).astype(np.uint32) | np.uint32(1)
        self._offsets = (words[1::2] & np.uint64(0xFFFFFFFF)).astype(np.uint32)

    def order(self, number: int) -> Order:
        """Return which place comes at each position of pass `number`, shape (places,)."""
        affine = base(self._depth, number) * self._factors[number] + self._offsets[number]
        order: Order = affine & np.uint32((1 << self._depth) - 1)
        return order if self._places == len(order) else order[order < self._places]

    def checks(self, stage: int) -> tuple[Codes, Words]:
        """Return what the checks of that stage go by.

        A code for each place, shape (places,), whose bit j says whether check j has the place; and the lanes' factors
        (`checks.join`), which are 1 for a single lane.
        """
        generator = np.random.PCG64(int.from_bytes(self._seed + stage.to_bytes(2, "little"), "little") | 1 << 192)
        codes = generator.random_raw(-(-self._places // 4)).astype("<u8").view("<u2")[: self._places]
        factors = generator.random_raw(16)
        return codes, factors if self._lanes > 1 else np.array([1] + [0] * 15, np.uint64)


def subset(codes: Codes, check: int) -> Order:
    """Return the places of a check, ascending."""
    return np.flatnonzero(codes >> np.uint16(check) & np.uint16(1)).astype(np.uint32)


@lru_cache(maxsize=64)
def base(depth: int, number: int) -> Order:
    """Return the fixed permutation of 0 .. 2^depth - 1 that pass `number` begins with; read-only."""
    words = np.random.PCG64(_FIXED << 16 | number << 8 | depth).random_raw(1 << depth)
    order = np.argsort(words, kind="stable").astype(np.uint32)
    order.flags.writeable = False
    return order
