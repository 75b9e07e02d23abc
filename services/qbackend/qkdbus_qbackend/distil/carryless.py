"""Polynomials over GF(2^64) at the speed of memory: `field.evaluate` with the processor's carry-less multiplication.

Sixteen words are multiplied by fixed powers of the point and their 128-bit products added before one reduction (the
aggregated reduction of Gueron and Kounavis, Inf. Process. Lett. 110, 549 (2010)). Imports numba: only where a
photonic link needs it. On a processor without PCLMULQDQ, `evaluate` is that of `field`: the values are the same.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from . import field
from .field import Words

STRIDE = 16  # words to one reduction
_PRODUCT = ir.VectorType(ir.IntType(64), 2)


@cache
def available() -> bool:
    """Tell whether the code that numba makes for this machine may multiply without carries."""
    features: str = cpu_target.target_context.codegen().magic_tuple()[2]
    return "+pclmul" in features.split(",")


def evaluate(words: Words, point: int) -> int:
    """Return what `field.evaluate` returns."""
    if not available():
        return field.evaluate(words, point)
    words = np.ascontiguousarray(words)
    return int(_horner(words, _powers(point)))


@lru_cache(maxsize=16)
def _powers(point: int) -> Words:
    """Return point^15 .. point^0, then point^16; shape (17,)."""
    powers = [1]
    for _ in range(STRIDE):
        powers.append(field.times(powers[-1], point))
    return np.array([*powers[STRIDE - 1 :: -1], powers[STRIDE]], np.uint64)


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Write the code of `_fold`: 17 products, added as they come."""
    words, start, powers, value = arguments
    multiply = builder.module.declare_intrinsic(
        "llvm.x86.pclmulqdq", fnty=ir.FunctionType(_PRODUCT, [_PRODUCT, _PRODUCT, ir.IntType(8)])
    )

    def times(one: Any, other: Any, halves: int) -> Any:
        return builder.call(multiply, [one, other, ir.Constant(ir.IntType(8), halves)])

    def pair(array: Any, kind: Any, index: Any) -> Any:
        data = context.make_array(kind)(context, builder, array).data
        place = builder.gep(data, [index])
        return builder.load(builder.bitcast(place, _PRODUCT.as_pointer()), align=8)

    def number(index: int) -> Any:
        return ir.Constant(ir.IntType(64), index)

    lone = builder.insert_element(ir.Constant(_PRODUCT, None), value, number(0))
    total = times(lone, pair(powers, signature.args[2], number(STRIDE - 1)), 0x10)
    for index in range(0, STRIDE, 2):
        coefficients = pair(words, signature.args[0], builder.add(start, number(index)))
        factors = pair(powers, signature.args[2], number(index))
        for halves in (0x00, 0x11):
            total = builder.xor(total, times(coefficients, factors, halves))
    parts = [builder.extract_element(total, number(half)) for half in (0, 1)]
    return context.make_tuple(builder, signature.return_type, parts)


def _typed(_context: Any, words: Any, start: Any, powers: Any, value: Any) -> Any:
    """Return value * point^16 + the polynomial of the 16 words from `start` on, not reduced: (low, high) 64 bits."""
    del start, value
    pair: Any = numba.types.Tuple
    return pair((numba.uint64, numba.uint64))(words, numba.int64, powers, numba.uint64), _emit


_fold: Any = intrinsic(_typed)


def _reduce(low: Any, high: Any) -> Any:
    """Return low + x^64 high in the field: x^64 = x^4 + x^3 + x + 1, twice for what that pushes over the edge."""
    over = (high >> np.uint64(63)) ^ (high >> np.uint64(61)) ^ (high >> np.uint64(60))
    high ^= over
    return low ^ high ^ (high << np.uint64(1)) ^ (high << np.uint64(3)) ^ (high << np.uint64(4))


_reduced = numba.njit(nogil=True, cache=True)(_reduce)


def _evaluate(words: Any, powers: Any) -> Any:
    """Return the value; the words that do not fill a stride come first, behind zeros, which change nothing."""
    odd = len(words) % STRIDE
    value = np.uint64(0)
    if odd:
        first = np.zeros(STRIDE, np.uint64)
        first[STRIDE - odd :] = words[:odd]
        low, high = _fold(first, 0, powers, value)
        value = _reduced(low, high)
    for start in range(odd, len(words), STRIDE):
        low, high = _fold(words, start, powers, value)
        value = _reduced(low, high)
    return value


_horner = numba.njit(nogil=True, cache=True)(_evaluate)
