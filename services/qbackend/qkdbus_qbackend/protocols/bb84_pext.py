"""The kernels of `bb84_kernels` with the instructions PEXT (x86 BMI2) and POPCNT, through numba: import it lazily."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic

Words = npt.NDArray[np.uint64]


def possible() -> bool:
    """Whether this processor has PEXT."""
    return bool(binding.get_host_cpu_features().get("bmi2", False))


def _gather(_typing: Any, _word: Any, _mask: Any) -> Any:
    """Gather the bits of a word that a mask marks at its low end."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        called = builder.module.declare_intrinsic("llvm.x86.bmi.pext.64", (), ir.FunctionType(word, [word, word]))
        return builder.call(called, arguments)

    return types.uint64(types.uint64, types.uint64), generate


def _count(_typing: Any, _word: Any) -> Any:
    """Count the ones of a word."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_pext: Any = intrinsic(_gather)
_popcount: Any = intrinsic(_count)


@njit("int64(uint64[::1], uint64[::1], uint64[::1])", nogil=True, cache=True)
def _compress(words: Words, mask: Words, kept: Words) -> Any:
    """Fill `kept`, one word longer than `words`; return the number of bits."""
    filling, filled, place = np.uint64(0), np.uint64(0), np.int64(0)
    for index in range(len(words)):
        chosen = _pext(words[index], mask[index])
        filling = filling | chosen << filled
        kept[place] = filling
        total = filled + _popcount(mask[index])
        # what did not fit; in two shifts, as one by 64 is undefined
        rest = (chosen >> np.uint64(1)) >> (np.uint64(63) - filled)
        filling = rest if total >= np.uint64(64) else filling
        place += np.int64(total >> np.uint64(6))
        filled = total & np.uint64(63)
    kept[place] = filling
    return 64 * place + np.int64(filled)


@njit("uint64(uint64[::1])", nogil=True, cache=True)
def _sum(words: Words) -> Any:
    total = np.uint64(0)
    for word in words:
        total += _popcount(word)
    return total


def compress(words: Words, mask: Words) -> Words:
    """See `bb84_kernels.Kernels`."""
    kept = np.zeros(len(words) + 1, np.uint64)
    count = int(_compress(words, mask, kept))
    return kept[: -(-count // 64)]


def ones(words: Words) -> int:
    """See `bb84_kernels.Kernels`."""
    return int(_sum(words))
