"""Cantor's basis of GF(2^64): where the polynomials of the fast path are evaluated.

v_0 = 1 and v_i^2 + v_i = v_(i-1). Point number b is the sum of the v_i over the bits i that are set in b. The
polynomial that vanishes on the points below 2^i, s_i, then has its coefficients in GF(2) (s_i(x) = s_(i-1)(x)^2 +
s_(i-1)(x), s_0 = x), few of them, and s_i takes point b to point b >> i (D. G. Cantor, J. Comb. Theory A 50, 285
(1989); S. Gao and T. Mateer, IEEE Trans. Inf. Theory 56, 6265 (2010)).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from ..field import times

Words = npt.NDArray[np.uint64]
LARGEST = 20  # a transform has at most 2^20 points


@cache
def basis() -> tuple[int, ...]:
    """Return v_0 .. v_(LARGEST - 1)."""
    elements = [1]
    while len(elements) < LARGEST:
        elements.append(_root(elements[-1]))
    return tuple(elements)


def point(number: int) -> int:
    """Return the point of that number."""
    total = 0
    for element in basis()[: number.bit_length()]:
        if number & 1:
            total ^= element
        number >>= 1
    return total


def points(log: int) -> Words:
    """Return points 0, 2, 4 .. : 2^log of them."""
    table = np.zeros(1 << log, np.uint64)
    for i in range(log):
        table[1 << i : 2 << i] = table[: 1 << i] ^ np.uint64(basis()[i + 1])
    return table


def novel(index: int, number: int) -> int:
    """Return the polynomial X_index = product of s_i over the bits i set in `index`, at the point of that number."""
    value, i = 1, 0
    while index >> i:
        if index >> i & 1:
            value = times(value, point(number >> i))
        i += 1
    return value


def _root(element: int) -> int:
    """Solve y^2 + y = element: linear over GF(2), so eliminate among the images of 1, x, x^2 .."""
    rows: dict[int, tuple[int, int]] = {}  # highest bit of an image -> (image, what it is the image of)
    for i in range(1, 64):
        source = 1 << i
        image, source = _eliminate(times(source, source) ^ source, source, rows)
        if image:
            rows[image.bit_length()] = image, source
    rest, root = _eliminate(element, 0, rows)
    assert rest == 0
    return root


def _eliminate(image: int, source: int, rows: dict[int, tuple[int, int]]) -> tuple[int, int]:
    while image and image.bit_length() in rows:
        other, of = rows[image.bit_length()]
        image, source = image ^ other, source ^ of
    return image, source
