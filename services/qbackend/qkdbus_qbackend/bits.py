"""Bits as arrays of 0 and 1 (uint8) inside the worker, packed on every wire: first bit = lowest bit of first octet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .failure import Broken

Bits = npt.NDArray[np.uint8]


def pack(bits: npt.NDArray[np.uint8] | npt.NDArray[np.bool_]) -> bytes:
    """Return ceil(len / 8) octets; unused high bits of the last one are 0."""
    return np.packbits(bits, bitorder="little").tobytes()


def unpack(octets: bytes | memoryview, count: int) -> Bits:
    """Return `count` bits as a new array. Broken when `octets` is not exactly as long as that takes."""
    if len(octets) != octet_count(count):
        raise Broken(f"expected {octet_count(count)} octets, got {len(octets)}")
    return np.unpackbits(np.frombuffer(octets, np.uint8), count=count, bitorder="little")


def octet_count(count: int) -> int:
    """Octets that `count` bits take."""
    return -(-count // 8)


def wipe(*arrays: npt.NDArray[np.uint8]) -> None:
    """Overwrite arrays that held key bits (those that are ours: a view of received octets cannot be)."""
    for array in arrays:
        if array.flags.writeable:
            array.fill(0)
