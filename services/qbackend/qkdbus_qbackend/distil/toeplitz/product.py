"""The carry-less product of four pairs of words, in LLVM's language: by the widest instruction there is.

x86: VPCLMULQDQ (256 bits) or PCLMULQDQ; ARM: PMULL. The functions emit code with llvmlite, so that no C is compiled.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

import numba
from llvmlite import ir
from numba.core.registry import cpu_target

WIDTH = 4
WORD, HALF, OCTET = ir.IntType(64), ir.IntType(32), ir.IntType(8)
VECTOR = ir.VectorType(WORD, WIDTH)
_PAIR = ir.VectorType(WORD, 2)
_numba: Any = numba


class Kind(Enum):
    """An instruction that multiplies without carries."""

    WIDE = "vpclmulqdq"
    NARROW = "pclmulqdq"
    ARM = "pmull"
    NONE = "none"


@cache
def kind() -> Kind:
    """Return the instruction of the processor that numba compiles for: this one, unless numba's settings differ."""
    triple, _, listed = cpu_target.target_context.codegen().magic_tuple()
    features = listed.split(",")
    if _numba.config.DISABLE_JIT:
        return Kind.NONE
    if triple.startswith(("aarch64", "arm64")):
        return Kind.ARM if "+aes" in features else Kind.NONE
    if "+pclmul" not in features:
        return Kind.NONE
    return Kind.WIDE if "+vpclmulqdq" in features and "+avx2" in features else Kind.NARROW


def emit_product(builder: Any, lane: int, one: Any, other: Any, by: Kind) -> Any:
    """Emit the products of lanes `lane` (0 or 1) and `lane` + 2, each of 128 bits."""
    if by == Kind.WIDE:
        return _call(builder, "llvm.x86.pclmulqdq.256", VECTOR, one, other, ir.Constant(OCTET, 0x11 * lane))
    halves = []
    for first in (0, 2):
        pair = [choose(builder, vector, vector, [first, first + 1]) for vector in (one, other)]
        if by == Kind.ARM:
            words = [builder.extract_element(vector, ir.Constant(HALF, lane)) for vector in pair]
            octets = _call(builder, "llvm.aarch64.neon.pmull64", ir.VectorType(OCTET, 16), *words)
            halves.append(builder.bitcast(octets, _PAIR))
        else:
            halves.append(_call(builder, "llvm.x86.pclmulqdq", _PAIR, *pair, ir.Constant(OCTET, 0x11 * lane)))
    return choose(builder, halves[0], halves[1], [0, 1, 2, 3])


def emit_fold(builder: Any, evens: Any, odds: Any) -> Any:
    """Emit the reduction of 128-bit products of lanes 0 and 2, and of lanes 1 and 3.

    x^64 is x^4 + x^3 + x + 1; what passes x^64 when the high word is multiplied by that goes around once more.
    """
    low, high = choose(builder, evens, odds, [0, 4, 2, 6]), choose(builder, evens, odds, [1, 5, 3, 7])
    for by in (63, 61, 60):  # sets bits below 4, which no later one of these shifts brings down
        high = builder.xor(high, builder.lshr(high, ir.Constant(VECTOR, [by] * WIDTH)))
    for by in (1, 3, 4):
        low = builder.xor(low, builder.shl(high, ir.Constant(VECTOR, [by] * WIDTH)))
    return builder.xor(low, high)


def choose(builder: Any, one: Any, other: Any, places: list[int]) -> Any:
    """Emit a choice among the lanes of two vectors, those of the second one counted on."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(HALF, len(places)), places))


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    known = builder.module.globals.get(name)
    kinds = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(known or ir.Function(builder.module, kinds, name), arguments)
