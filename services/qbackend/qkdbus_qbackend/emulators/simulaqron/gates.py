"""Turning qubits by any angle, and pairs without gates: what SimulaQron's engines do when asked in the right way."""

from __future__ import annotations

import functools
import importlib
import math
from types import ModuleType
from typing import Any

from qkdbus.errors import Refused

_QUTIP, _STABILIZER = "QutipEngine", "StabilizerEngine"


def turn(qubit: Any, degrees: float, *, back: bool = False) -> None:
    """Turn a qubit so that a measurement in Z is one at a polariser angle, or `back` again.

    A polariser at an angle a passes cos a |0> + sin a |1>, which is |0> turned about Y by 2a.
    Refused on the stabilizer engine but for multiples of 45 degrees.
    """
    degrees %= 90  # a polariser at a right angle to another tells the same, with 0 and 1 exchanged
    if not degrees:
        return
    engine = type(qubit.register).__name__
    if degrees == 45:
        qubit.remote_apply_H()  # its own inverse
    elif engine == _STABILIZER:
        raise Refused(f"SimulaQron's stabilizer engine cannot turn by {degrees:g} degrees: choose qutip or projectq")
    elif engine == _QUTIP:
        qubit.register.apply_onequbit_gate(_rotation(degrees if back else -degrees), qubit.num)
    else:
        qubit.remote_apply_rotation((0, 1, 0), math.radians(2 * degrees if back else -2 * degrees))


def share_bell_pair(register: Any) -> bool:
    """Put |Phi+> into a new register of qutip's; False for other engines.

    Next to nothing instead of 2 ms, for a state of qutip's does not change: each gate makes another.
    """
    if type(register).__name__ != _QUTIP:
        return False
    register.absorb(_made_by_gates(register.__class__))
    return True


def quicken(qutip_simulator: ModuleType) -> None:
    """Let `simulaqron.virtual_node.qutip_simulator` keep what a gate is on a whole register: half of its time."""
    qutip_simulator.gate_ops = _KnownGates(qutip_simulator.gate_ops)  # type: ignore[attr-defined]


class _KnownGates:
    """What SimulaQron uses of `qutip.qip.operations.gates`, the same gates not made anew each time."""

    def __init__(self, gate_ops: Any) -> None:
        self._expand = gate_ops.gate_expand_1toN
        self._known: dict[tuple[bytes, bytes, int, int], Any] = {}

    def gate_expand_1toN(self, gate: Any, qubits: int, target: int) -> Any:  # noqa: N802 (qutip's)
        """Return a one-qubit gate as one of `qubits` qubits. The caller does not change it."""
        matrix = gate.data
        name = matrix.indices.tobytes(), matrix.data.tobytes(), qubits, target
        if name not in self._known:
            self._known[name] = self._expand(gate, qubits, target)
        return self._known[name]


@functools.cache
def _rotation(degrees: float) -> Any:
    """Return qutip's gate for a turn of the polariser; `apply_rotation` takes 4 ms to find it, each time."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return importlib.import_module("qutip").Qobj([[cosine, -sine], [sine, cosine]], dims=[[2], [2]])


@functools.cache
def _made_by_gates(engine: Any) -> Any:
    register = engine("", 0, 2)
    for _ in range(2):
        register.add_fresh_qubit()
    register.apply_H(0)
    register.apply_CNOT(0, 1)
    return register
