"""Memory for kernels, used again: fresh pages cost as much as the arithmetic on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .basis import Words

_LINE = 8  # words in a line of the cache: an array begins with one, lest every other vector lie in two
_idle: list[Words] = []  # a list's append and pop are atomic: threads share it


@contextmanager
def memory(arrays: int, size: int) -> Iterator[Words]:
    """Lend `arrays` arrays of `size` words (a multiple of 8) with anything in them; wipe them afterwards."""
    try:
        whole = _idle.pop()
    except IndexError:
        whole = np.empty(0, np.uint64)
    if len(whole) < arrays * size:
        whole = _aligned(arrays * size)
    lent = whole[: arrays * size].reshape(arrays, size)
    try:
        yield lent
    finally:
        lent.fill(0)
        _idle.append(whole)


def _aligned(size: int) -> Words:
    whole = np.empty(size + _LINE, np.uint64)
    first = -(whole.ctypes.data // 8) % _LINE
    return whole[first : first + size]
