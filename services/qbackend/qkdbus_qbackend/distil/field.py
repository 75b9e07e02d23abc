"""GF(2^64) for whole arrays: the field of the hashes for verification and authentication.

Elements are 64-bit words, bit i the coefficient of x^i, modulo x^64 + x^4 + x^3 + x + 1 (irreducible; Seroussi,
HP Labs HPL-98-135, table of low-weight polynomials). `carryless` has an `evaluate` with the same values, 30 times as
fast and more, for links that import numba.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Evaluate = Callable[[Words, int], int]  # `evaluate`, or one with the same values
_REDUCED = 0b11011  # what x^64 is
_MASK = (1 << 64) - 1


def times(one: int, other: int) -> int:
    """Multiply two elements."""
    product = 0
    while other:
        lowest = other & -other
        product ^= one * lowest  # a shift
        other ^= lowest
    while over := product >> 64:
        product = product & _MASK ^ over ^ over << 1 ^ over << 3 ^ over << 4
    return product


def times_all(words: Words, factor: int) -> Words:
    """Multiply each of `words`, shape (n,), by the same `factor`.

    Multiplying by a constant is linear over GF(2): the product is the sum of what each octet contributes, and
    that is looked up (8 tables of 256), 8 look-ups a word.
    """
    tables = _tables(factor)
    octets = np.ascontiguousarray(words).view(np.uint8).reshape(-1, 8)
    product: Words = tables[0].take(octets[:, 0], mode="clip")  # an octet is always in range: no mode but speed
    part = np.empty_like(product)
    for place in range(1, 8):
        product ^= tables[place].take(octets[:, place], out=part, mode="clip")
    return product


def power(element: int, exponent: int) -> int:
    """Return element^exponent, exponent >= 0."""
    result = 1
    while exponent:
        if exponent & 1:
            result = times(result, element)
        element, exponent = times(element, element), exponent >> 1
    return result


def evaluate(words: Words, point: int) -> int:
    """Return the polynomial with coefficients `words`, shape (n,), highest power first, at `point`.

    Neighbours are joined two by two, words[2i] * point + words[2i + 1], which leaves a polynomial in point^2 with
    half as many coefficients: log2(n) rounds of array operations.
    """
    while len(words) > 1:
        if len(words) % 2:
            words = np.concatenate([np.zeros(1, np.uint64), words])
        words = times_all(words[0::2], point) ^ words[1::2]
        point = times(point, point)
    return int(words[0]) if len(words) else 0


def evaluator(*, fast: bool) -> Evaluate:
    """Return `evaluate`, or the one of `carryless`, which brings numba in."""
    if not fast:
        return evaluate
    from . import carryless

    return carryless.evaluate


def _multiples(element: int) -> list[int]:
    """Return element * x^i for i = 0 .. 63."""
    multiples = []
    for _ in range(64):
        multiples.append(element)
        element = (element << 1) & _MASK ^ (_REDUCED if element >> 63 else 0)
    return multiples


@lru_cache(maxsize=64)  # the powers of one point, over and over
def _tables(factor: int) -> Words:
    """Return shape (8, 256): [place][octet] = factor * (octet at that place of a word)."""
    multiples = np.array(_multiples(factor), np.uint64).reshape(8, 8)
    tables = np.zeros((8, 256), np.uint64)
    for bit in range(8):
        tables[:, 1 << bit : 2 << bit] = tables[:, : 1 << bit] ^ multiples[:, bit : bit + 1]
    return tables
