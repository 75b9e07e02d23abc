"""Taking bits out of words, putting them back: one instruction each on x86 with BMI2 (PEXT, PDEP), else a loop.

`extract(value, mask)` moves the bits of `value` that are set in `mask` to the low end, in order; `deposit` undoes it.
A stream of bits is an array of words, first bit lowest, with two words of room behind the last bit. Loads numba.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core.registry import cpu_target
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])
_numba: Any = numba
_intrinsic: Any = intrinsic
_0, _1 = np.uint64(0), np.uint64(1)
_WORD = ir.IntType(64)


def compiled(function: Function) -> Function:
    """Compile a function that does without the interpreter's lock; keep the code for the next start."""
    ready: Function = _numba.njit(nogil=True, cache=True)(function)
    return ready


def inlined(function: Function) -> Function:
    """Compile a function into those that call it."""
    ready: Function = _numba.njit(nogil=True, cache=True, inline="always")(function)
    return ready


@cache
def available() -> bool:
    """Tell whether the code that numba makes for this machine may use PEXT and PDEP."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return triple.startswith("x86_64") and "+bmi2" in features.split(",") and not _numba.config.DISABLE_JIT


def extract_bits(value: Any, mask: Any) -> Any:
    """Do what PEXT does."""
    found, place = _0, _1
    while mask:
        low = mask & (~mask + _1)
        if value & low:
            found |= place
        place <<= _1
        mask ^= low
    return found


def deposit_bits(value: Any, mask: Any) -> Any:
    """Do what PDEP does."""
    found = _0
    while mask:
        low = mask & (~mask + _1)
        if value & _1:
            found |= low
        value >>= _1
        mask ^= low
    return found


def _instruction(name: str) -> Any:
    def typed(_: Any, value: Any, mask: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(_WORD, [_WORD, _WORD])
            return builder.call(builder.module.declare_intrinsic(name, fnty=kind), arguments)

        return _numba.uint64(_numba.uint64, _numba.uint64), emit

    return _intrinsic(typed)


extract: Any = _instruction("llvm.x86.bmi.pext.64") if available() else inlined(extract_bits)
deposit: Any = _instruction("llvm.x86.bmi.pdep.64") if available() else inlined(deposit_bits)


@inlined
def ones(mask: Any) -> Any:
    """Return how many bits are set (LLVM makes one instruction of this where there is one)."""
    mask = mask - (mask >> _1 & np.uint64(0x5555555555555555))
    mask = (mask & np.uint64(0x3333333333333333)) + (mask >> np.uint64(2) & np.uint64(0x3333333333333333))
    mask = mask + (mask >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64(mask * np.uint64(0x0101010101010101) >> np.uint64(56))


@inlined
def put(value: Any, mask: Any, stream: Any, at: Any) -> Any:
    """Write those bits of `value` that are set in `mask` to a stream of zeros; return where the next ones go."""
    bits, word, shift = extract(value, mask), at >> 6, np.uint64(at & 63)
    stream[word] |= bits << shift
    if shift:
        stream[word + 1] |= bits >> (np.uint64(64) - shift)
    return at + ones(mask)


@inlined
def get(mask: Any, stream: Any, at: Any) -> Any:
    """Undo `put`: return the value."""
    word, shift = at >> 6, np.uint64(at & 63)
    bits = stream[word] >> shift
    if shift:
        bits |= stream[word + 1] << (np.uint64(64) - shift)
    return deposit(bits, mask)
