"""Bitmaps of 64-bit words, and what is costly in BB84's sifting on them: keeping the bits that a mask marks.

First bit = lowest bit of the first word; on the wire (little-endian octets) that is the order of `bits.pack`. Bits
beyond a bitmap's count are 0. Where the processor has PEXT (x86 with BMI2), numba compiles that to 64 bits per
instruction; elsewhere, and where numba is not wanted, numpy does the same more slowly, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..bits import Bits, octet_count
from ..failure import Broken

Words = npt.NDArray[np.uint64]


class Kernels(NamedTuple):
    """`compress`: the bits of the first bitmap where the second has a 1, in order; `ones`: how many bits are 1."""

    compress: Callable[[Words, Words], Words]
    ones: Callable[[Words], int]


def words_of(bits: npt.NDArray[np.uint8] | npt.NDArray[np.bool_]) -> Words:
    """Return the bitmap of `bits`, shape (count,): anything but 0 is 1."""
    words = np.zeros(-(-len(bits) // 64), np.uint64)
    octets = np.packbits(bits, bitorder="little")
    words.view(np.uint8)[: len(octets)] = octets
    octets.fill(0)
    return words


def bits_of(words: Words, count: int) -> Bits:
    """Return the first `count` bits of a bitmap as a new array of 0 and 1."""
    return np.unpackbits(words.view(np.uint8), count=count, bitorder="little")


def read(octets: memoryview, count: int) -> Words:
    """Return the bitmap of `count` bits that `write` wrote. Broken when `octets` is not exactly as long as that."""
    if len(octets) != octet_count(count):
        raise Broken(f"expected {octet_count(count)} octets, got {len(octets)}")
    words = np.zeros(-(-count // 64), np.uint64)
    words.view(np.uint8)[: len(octets)] = np.frombuffer(octets, np.uint8)
    if count % 64:
        words[-1] &= np.uint64((1 << count % 64) - 1)
    return words


def write(words: Words, count: int) -> bytes:
    """Return the octets of a bitmap of `count` bits."""
    return words.view(np.uint8)[: octet_count(count)].tobytes()


def none(words: Words, count: int) -> Words:
    """Return the bitmap with each of its `count` bits turned over."""
    turned = ~words
    if count % 64:
        turned[-1] &= np.uint64((1 << count % 64) - 1)
    return turned


def portable() -> Kernels:
    """Return the kernels in numpy."""
    return Kernels(_compress, _ones)


def kernels(fast: bool) -> Kernels:
    """Return faster kernels with the same results where that is wanted and possible, the portable ones elsewhere."""
    return (_compiled() if fast else None) or portable()


@cache
def _compiled() -> Kernels | None:
    """Return None without numba or PEXT. numba is imported here and nowhere else, and only when asked for."""
    if find_spec("numba") is None:
        return None
    from . import bb84_pext

    return Kernels(bb84_pext.compress, bb84_pext.ones) if bb84_pext.possible() else None


def _compress(words: Words, mask: Words) -> Words:
    count = 64 * len(words)
    return words_of(bits_of(words, count)[bits_of(mask, count).view(np.bool_)])


def _ones(words: Words) -> int:
    return int.from_bytes(words.data, "little").bit_count()
