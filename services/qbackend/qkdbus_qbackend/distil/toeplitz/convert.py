"""From the powers of x to the basis that the additive FFT evaluates, and its transpose: XORs only.

The novel basis (S.-J. Lin, W.-H. Chung, Y. S. Han, FOCS 2014) has X_b = product of s_i over the bits i set in b, with
the polynomials s_i of `basis`. To write a polynomial in it, divide by s_i, i a power of two, again and again: then
s_i = x^(2^i) + x, and s_i^(2^t) = x^(2^(i+t)) + x^(2^t), so that each division is a run of XORs over a distance; then
do the same with the quotients, as a polynomial in s_i, and with the remainders (M.-S. Chen et al., arXiv 1708.09746).

One step (D, d) divides in each block of 2 D coefficients by x^D + x^d. All is linear over GF(2), bit by bit, so a
coefficient may be of any width: arrays are taken as words of 32 bits, and positions are counted in those.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import numpy as np
import numpy.typing as npt

from .lanes import additions, kernel, load, store

Halves = npt.NDArray[np.uint32]
Steps = npt.NDArray[np.int64]  # shape (n, 2): D, d

LOCAL = 8  # the steps within 2^8 neighbours are done on lanes, by `local`
COLUMN = 16  # 64 octets: how wide a column is
RESIDENT = 1 << 12  # 16 KiB: stay in the first cache


class Way(IntEnum):
    """Which of the maps that one list of steps gives. C is the way to the novel basis."""

    NOVEL = 0  # C
    DUAL = 1  # C inverse, transposed: source and target exchanged
    BACK = 2  # C transposed: source and target exchanged, and the order turned round


def steps(log: int, unit: int = 1) -> list[tuple[int, int]]:
    """Return the steps for 2^log coefficients that lie `unit` apart, in the order of the way to the novel basis."""
    if log < 2:
        return []
    i = _divisor(log)
    return _divisions(log, i, unit) + steps(log - i, unit << i) + steps(i, unit)


def distant(halves: Halves, log: int, width: int, way: Way) -> None:
    """Do all steps but those within 2^LOCAL neighbours, on coefficients of `width` words of 32 bits each.

    There may be fewer than 2^log of them, a multiple of 2^LOCAL: those that are missing are zeros.
    """
    groups = _groups(log, width)
    for block, stride, group in reversed(groups) if way == Way.BACK else groups:
        if stride:
            _in_columns(halves, group, block, stride, int(way))
        else:
            _in_blocks(halves, len(halves), group, block, int(way))


def local(halves: Halves, way: Way) -> None:
    """Do the steps within 2^LOCAL neighbours, which are lanes here: 8 words of 32 bits each."""
    _local(halves, np.array(_divisions(LOCAL, 4, 8), np.int64), int(way))


def _additions(way: Way) -> list[tuple[int, int]]:
    """Return the steps among 16 neighbours one by one: (to, source)."""
    pairs = []
    for high, low in steps(4):
        for base in range(0, 16, 2 * high):
            pairs += [(base + low + i, base + high + i) for i in reversed(range(high))]
    if way != Way.NOVEL:
        pairs = [(source, to) for to, source in pairs]
    return pairs[::-1] if way == Way.BACK else pairs


@cache
def _groups(log: int, width: int) -> list[tuple[int, int, Steps]]:
    """Return the distant steps in groups that pass over memory once: (block, stride of the rows or 0, steps)."""
    if log <= LOCAL:
        return []
    i = _divisor(log)
    divisions = np.array(_divisions(log, i, width), np.int64)
    large = 2 * divisions[:, 0] > RESIDENT
    groups = [(width << log, 0, divisions[large]), (RESIDENT, 0, divisions[~large])]
    if log - i > 4:  # `_in_columns` does the steps among 16 neighbours without being told
        groups.append((width << log, width << i, np.array(steps(log - i, 8)[: -len(steps(4))], np.int64)))
    else:
        groups.append((width << log, 0, np.array(steps(log - i, width << i), np.int64).reshape(-1, 2)))
    return [group for group in groups if len(group[2])] + _groups(i, width)


def _divisor(log: int) -> int:
    """Return the largest power of two below `log`."""
    return 1 << (log - 1).bit_length() - 1


def _divisions(log: int, i: int, unit: int) -> list[tuple[int, int]]:
    return [(unit << i + t, unit << t) for t in reversed(range(log - i))]


_novel, _dual, _back = (additions(16, _additions(way)) for way in Way)


@kernel
def _local(halves: Halves, divisions: Steps, way: int) -> None:
    """Divide among 256 lanes, and do the steps among 16 lanes that are 16 apart, and among 16 neighbours."""
    for begin in range(0, len(halves), 2048):
        lanes = halves[begin : begin + 2048]
        if way != 2:
            _in_blocks(lanes, 2048, divisions, 2048, way)
        _in_sixteens(lanes, 8, 128, way)
        _in_sixteens(lanes, 128, 8, way)
        if way == 2:
            _in_blocks(lanes, 2048, divisions, 2048, way)


@kernel
def _in_sixteens(halves: Halves, step: int, stride: int, way: int) -> None:
    """Do the steps among 16 vectors that are `stride` apart, for each of the sixteens that begin `step` apart."""
    for i in range(len(halves) // 128):
        if way == 0:
            _novel(halves, i * step, stride)
        elif way == 1:
            _dual(halves, i * step, stride)
        else:
            _back(halves, i * step, stride)


@kernel
def _in_blocks(halves: Halves, count: int, group: Steps, block: int, way: int) -> None:
    """Do a group of steps in one block of the first `count` words after the other."""
    for begin in range(0, count, block):
        end = min(begin + block, count)
        for number in range(len(group)):
            row = len(group) - 1 - number if way == 2 else number
            _step(halves, begin, end, group[row, 0], group[row, 1], way)


@kernel
def _in_columns(halves: Halves, group: Steps, block: int, stride: int, way: int) -> None:
    """Do a group of steps, and those among 16 neighbours, on rows `stride` apart: on a column brought together."""
    all_rows = block // stride
    column = np.empty((COLUMN // 8, 8 * all_rows), np.uint32)
    for begin in range(0, len(halves), block):
        end = min(begin + block, len(halves))
        for place in range(begin, min(begin + stride, end), COLUMN):
            rows = (end - place + stride - 1) // stride
            for row in range(rows):
                for part in range(COLUMN // 8):
                    store(column[part], 8 * row, load(halves, place + row * stride + 8 * part))
            column[:, 8 * rows :] = 0
            for part in range(COLUMN // 8):
                _in_column(column[part], group, way)
            for row in range(rows):
                for part in range(COLUMN // 8):
                    store(halves, place + row * stride + 8 * part, load(column[part], 8 * row))
    column[:] = 0


@kernel
def _in_column(column: Halves, group: Steps, way: int) -> None:
    if way != 2:
        _in_blocks(column, len(column), group, len(column), way)
    _in_sixteens(column, 128, 8, way)
    if way == 2:
        _in_blocks(column, len(column), group, len(column), way)


@kernel
def _step(halves: Halves, begin: int, end: int, high: int, low: int, way: int) -> None:
    """Divide by x^high + x^low in each block of 2 `high` words, or do the transposed of that."""
    for base in range(begin, end, 2 * high):
        # What is divided ends in x^low times the quotient, whose own top reaches x^high again: that goes first.
        top = min(low, end - base - 2 * high + low)
        rest = min(high - low, end - base - high)
        if way == 0:
            _add(halves, base + high, base + 2 * high - low, top)
            _add(halves, base + low, base + high, rest)
        elif way == 1:
            _add(halves, base + 2 * high - low, base + high, top)
            _add(halves, base + high, base + low, rest)
        else:
            _add(halves, base + high, base + low, rest)
            _add(halves, base + 2 * high - low, base + high, top)


@kernel
def _add(halves: Halves, to: int, source: int, count: int) -> None:
    """Add `count` words, none if it is negative; the two runs do not overlap."""
    whole = count - count % 8 if count > 0 else 0
    for i in range(0, whole, 8):
        store(halves, to + i, load(halves, to + i) ^ load(halves, source + i))
    for i in range(whole, count):
        halves[to + i] ^= halves[source + i]
