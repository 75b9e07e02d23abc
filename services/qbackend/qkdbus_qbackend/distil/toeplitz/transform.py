"""The additive FFT over GF(2^64): values of a polynomial at Cantor's points, and the two transposes of that map.

A part is a polynomial of 2^log coefficients in the novel basis, to be evaluated at as many points from number `start`
on, a multiple of 2^log. Level i joins coefficients 2^i apart, with t = s_i at the points of the block: a += t b,
b += a (S.-J. Lin, W.-H. Chung, Y. S. Han, FOCS 2014; D. G. Cantor 1989). The twiddle factor t of block n is point
2 n, plus what `start` adds to it, since s_i is linear.

Two layouts. Plain: coefficient after coefficient. Lanes: a part in four quarters, vector q holds the q-th coefficient
of each; there every level but the two highest works on whole vectors, with four twiddle factors at once. `enter` goes
from plain to lanes and does those two levels meanwhile, `leave` comes back.

Three maps, as in `convert.Way`: evaluation V; its inverse transposed (b += t a, a += b); V transposed (levels from the
lowest up; a += b, b += t a). Two levels are done at a time, and sums of products are reduced once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .basis import Words, point, points
from .lanes import even, fold, join_high, join_low, kernel, load, odd, spread, store, zip_high, zip_low

RESIDENT = 9  # 2^9 vectors, 16 KiB: stay in the first cache


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a transform, with its tables.

    Attributes:
        start: number of its first point.
        log: it has 2^log coefficients.
        top: the twiddle factors of the two highest levels, shape (3,).
        shifts: what is added to the twiddle factors, level by level, lane by lane; shape (log - 2, 4).
        twiddles: points 0, 2, 4 ..
    """

    start: int
    log: int
    top: Words
    shifts: Words
    twiddles: Words

    @property
    def stop(self) -> int:
        """The coefficient after its last one."""
        return self.start + (1 << self.log)


@lru_cache(16)
def make_part(start: int, log: int) -> Part:
    """Make the tables of a part."""
    vectors = log - 2
    top = [point(start >> log - 1), point(start >> log - 2), point((start >> log - 2) + 2)]
    shifts = [[point(start + (lane << vectors) >> level) for lane in range(4)] for level in range(vectors)]
    return Part(start, log, np.array(top, np.uint64), np.array(shifts, np.uint64), points(vectors - 1))


def enter(plain: Words, into: Words, part: Part, *, dual: bool) -> None:
    """Do the two highest levels on the coefficients of `part` in `plain`, and write them as lanes."""
    _enter(plain, into, part.start, 1 << part.log, part.top, dual)


def descend(lanes: Words, part: Part, *, dual: bool) -> None:
    """Do the other levels of `part`, in place."""
    _descend(lanes, part.start, part.log - 2, part.twiddles, part.shifts, dual)


def ascend(lanes: Words, part: Part) -> None:
    """Do the transpose of `descend`."""
    _ascend(lanes, part.start, part.log - 2, part.twiddles, part.shifts)


def leave(lanes: Words, into: Words, part: Part) -> None:
    """Do the transpose of `enter`."""
    _leave(lanes, into, part.start, 1 << part.log, part.top)


@kernel
def _enter(plain: Words, into: Words, start: int, size: int, top: Words, dual: bool) -> None:
    quarter = size // 4
    t, u, v = spread(top[0]), spread(top[2 if dual else 1]), spread(top[1 if dual else 2])
    first, step = (start + 3 * quarter, -quarter) if dual else (start, quarter)
    for q in range(0, quarter, 4):
        at = first + q
        a, b, c, d = load(plain, at), load(plain, at + step), load(plain, at + 2 * step), load(plain, at + 3 * step)
        b ^= fold(even(t, d), odd(t, d))
        d ^= b
        e = a ^ fold(even(t, c) ^ even(u, b), odd(t, c) ^ odd(u, b))
        g = a ^ c ^ fold(even(t, c) ^ even(v, d), odd(t, c) ^ odd(v, d))
        f, h = e ^ b, g ^ d
        if dual:
            e, f, g, h = h, g, f, e
        to = start + 4 * q
        store(into, to, join_low(zip_low(e, f), zip_low(g, h)))
        store(into, to + 4, join_low(zip_high(e, f), zip_high(g, h)))
        store(into, to + 8, join_high(zip_low(e, f), zip_low(g, h)))
        store(into, to + 12, join_high(zip_high(e, f), zip_high(g, h)))


@kernel
def _leave(lanes: Words, into: Words, start: int, size: int, top: Words) -> None:
    quarter = size // 4
    t, u, v = spread(top[0]), spread(top[1]), spread(top[2])
    for q in range(0, quarter, 4):
        at = start + 4 * q
        e, f, g, h = load(lanes, at), load(lanes, at + 4), load(lanes, at + 8), load(lanes, at + 12)
        a, b = join_low(zip_low(e, f), zip_low(g, h)), join_low(zip_high(e, f), zip_high(g, h))
        c, d = join_high(zip_low(e, f), zip_low(g, h)), join_high(zip_high(e, f), zip_high(g, h))
        a ^= b
        c ^= d
        b ^= d ^ fold(even(u, a) ^ even(v, c), odd(u, a) ^ odd(v, c))
        d ^= fold(even(v, c) ^ even(t, b), odd(v, c) ^ odd(t, b))
        a ^= c
        c ^= fold(even(t, a), odd(t, a))
        to = start + q
        store(into, to, a)
        store(into, to + quarter, b)
        store(into, to + 2 * quarter, c)
        store(into, to + 3 * quarter, d)


@kernel
def _descend(lanes: Words, start: int, log: int, twiddles: Words, shifts: Words, dual: bool) -> None:
    """Do the levels below `log`, from the highest: first over all vectors, then block by block."""
    level = log
    while level > RESIDENT:
        level -= 2
        _evaluate_two(lanes, start, 0, 1 << (log - level - 2), level, twiddles, shifts, dual)
    for block in range(1 << (log - level)):
        below = level
        while below >= 2:
            below -= 2
            count = 1 << (level - below - 2)
            _evaluate_two(lanes, start, block * count, count, below, twiddles, shifts, dual)
        if below:
            count = 1 << (level - 1)
            _evaluate_one(lanes, start, block * count, count, twiddles, shifts, dual)


@kernel
def _ascend(lanes: Words, start: int, log: int, twiddles: Words, shifts: Words) -> None:
    """Do the levels below `log`, from the lowest."""
    level = log
    while level > RESIDENT:
        level -= 2
    for block in range(1 << (log - level)):
        below = level & 1
        if below:
            count = 1 << (level - 1)
            _back_one(lanes, start, block * count, count, twiddles, shifts)
        while below < level:
            count = 1 << (level - below - 2)
            _back_two(lanes, start, block * count, count, below, twiddles, shifts)
            below += 2
    while level < log:
        _back_two(lanes, start, 0, 1 << (log - level - 2), level, twiddles, shifts)
        level += 2


@kernel
def _evaluate_two(
    lanes: Words, start: int, first: int, count: int, level: int, twiddles: Words, shifts: Words, dual: bool
) -> None:
    """Do level + 1 and then level, on blocks `first` .. of 4 x 2^level vectors.

    The dual map is the same with the coefficients, and so the lower level's blocks, the other way round.
    """
    h = 4 << level
    high, low = load(shifts, 4 * level + 4), load(shifts, 4 * level)
    step = -h if dual else h
    for n in range(first, first + count):
        t = spread(twiddles[n]) ^ high
        u = spread(twiddles[2 * n + dual]) ^ low
        v = spread(twiddles[2 * n + 1 - dual]) ^ low
        begin = start + n * 4 * h + (3 * h if dual else 0)
        for at in range(begin, begin + h, 4):
            a, b, c, d = load(lanes, at), load(lanes, at + step), load(lanes, at + 2 * step), load(lanes, at + 3 * step)
            b ^= fold(even(t, d), odd(t, d))
            d ^= b
            e = a ^ fold(even(t, c) ^ even(u, b), odd(t, c) ^ odd(u, b))
            g = a ^ c ^ fold(even(t, c) ^ even(v, d), odd(t, c) ^ odd(v, d))
            store(lanes, at, e)
            store(lanes, at + step, e ^ b)
            store(lanes, at + 2 * step, g)
            store(lanes, at + 3 * step, g ^ d)


@kernel
def _back_two(lanes: Words, start: int, first: int, count: int, level: int, twiddles: Words, shifts: Words) -> None:
    """Do level and then level + 1, transposed, on blocks `first` .. of 4 x 2^level vectors."""
    h = 4 << level
    high, low = load(shifts, 4 * level + 4), load(shifts, 4 * level)
    for n in range(first, first + count):
        t, u, v = spread(twiddles[n]) ^ high, spread(twiddles[2 * n]) ^ low, spread(twiddles[2 * n + 1]) ^ low
        begin = start + n * 4 * h
        for at in range(begin, begin + h, 4):
            a, b, c, d = load(lanes, at), load(lanes, at + h), load(lanes, at + 2 * h), load(lanes, at + 3 * h)
            a ^= b
            c ^= d
            b ^= d ^ fold(even(u, a) ^ even(v, c), odd(u, a) ^ odd(v, c))
            d ^= fold(even(v, c) ^ even(t, b), odd(v, c) ^ odd(t, b))
            a ^= c
            store(lanes, at, a)
            store(lanes, at + h, b)
            store(lanes, at + 2 * h, c ^ fold(even(t, a), odd(t, a)))
            store(lanes, at + 3 * h, d)


@kernel
def _evaluate_one(lanes: Words, start: int, first: int, count: int, twiddles: Words, shifts: Words, dual: bool) -> None:
    """Do level 0 on blocks `first` .. of two vectors."""
    low = load(shifts, 0)
    for n in range(first, first + count):
        t = spread(twiddles[n]) ^ low
        at, other = start + 8 * n + 4 * dual, start + 8 * n + 4 - 4 * dual
        b = load(lanes, other)
        a = load(lanes, at) ^ fold(even(t, b), odd(t, b))
        store(lanes, at, a)
        store(lanes, other, a ^ b)


@kernel
def _back_one(lanes: Words, start: int, first: int, count: int, twiddles: Words, shifts: Words) -> None:
    """Do level 0, transposed, on blocks `first` .. of two vectors."""
    low = load(shifts, 0)
    for n in range(first, first + count):
        t = spread(twiddles[n]) ^ low
        at = start + 8 * n
        b = load(lanes, at + 4)
        a = load(lanes, at) ^ b
        store(lanes, at, a)
        store(lanes, at + 4, b ^ fold(even(t, a), odd(t, a)))
