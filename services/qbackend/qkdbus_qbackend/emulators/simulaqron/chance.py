"""Measurement outcomes are key bits: SimulaQron's engines are made to draw them from the system's CSPRNG.

As shipped, the stabilizer engine draws with `random.randint`, qutip's with `numpy.random.choice`, and each ProjectQ
register seeds its own C++ Mersenne Twister from `random.randint`: predictable from a seed, and equal in forked
children. Here each of these modules gets another source under the same name:

stabilizer  one bit of os.urandom per random outcome;
qutip       53 bits of os.urandom per outcome;
projectq    32 fresh bits of os.urandom seed each register (of three outcomes at most, Eve's among them).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

_POOL_BYTES = 1024


class BitPool:
    """Random bits, one by one, from `entropy` by the kilobyte. A forked child never sees its parent's pool."""

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._bits: list[int] = []
        os.register_at_fork(after_in_child=self._bits.clear)

    def bit(self) -> int:
        """Return 0 or 1."""
        if not self._bits:
            fresh = np.frombuffer(self._entropy(_POOL_BYTES), dtype=np.uint8)
            self._bits.extend(np.unpackbits(fresh).tolist())
        return self._bits.pop()

    def randint(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included: the signature of `random.randint`."""
        if (low, high) == (0, 1):
            return self.bit()
        return _SYSTEM.randint(low, high)


class _NumpyChoice:
    """What qutip's engine uses of `numpy.random`."""

    @staticmethod
    def choice(values: Sequence[int], p: Sequence[float]) -> Any:
        """Return one of two `values` as a NumPy scalar, the first with probability `p[0]`."""
        first, second = values
        return np.int64(first if _SYSTEM.random() < p[0] else second)


class _NumpyWithChoice:
    """NumPy, with `random` drawn from the system."""

    random = _NumpyChoice()

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


_SYSTEM = random.SystemRandom()
POOL = BitPool()


def secure_stabilizer(stabilizer_states: ModuleType) -> None:
    """Give `simulaqron.toolbox.stabilizer_states` its bits from the pool."""
    _replace(stabilizer_states, "randint", POOL.randint)


def secure_qutip(qutip_simulator: ModuleType) -> None:
    """Give `simulaqron.virtual_node.qutip_simulator` its choices from the system."""
    _replace(qutip_simulator, "np", _NumpyWithChoice())


def secure_projectq(simulator: ModuleType) -> None:
    """Give `projectq.backends._sim._simulator` the seeds of its registers from the system."""
    _replace(simulator, "random", _SYSTEM)


def _replace(module: ModuleType, name: str, source: object) -> None:
    # another release that draws in another way must not pass unnoticed: its outcomes would be predictable
    if not hasattr(module, name):
        raise ImportError(f"{module.__name__} has no {name!r}: its source of chance is not the one known here")
    setattr(module, name, source)
