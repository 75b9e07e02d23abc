"""Entangled pairs in SimulaQron's registers, at the node that simulates them: make, measure, drop.

Each pair has a register of its own. The halves are SimulaQron's `SimulatedQubit`s: half 0 stays at the source, half 1
travels to the sink. A measurement is the engine's own, destructive one, after the gate that turns the basis into Z.
On |Phi+> equal bases give equal outcomes in Z and X and *opposite* ones in Y; they are left as measured.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Any

from . import library

SOURCE, SINK = 0, 1
_QUIET = logging.Logger("simulaqron", logging.CRITICAL + 1)  # SimulaQron would log each gate to the root logger


class Half(library.SimulatedQubit):  # type: ignore[misc]
    """One qubit of a pair."""

    def __init__(self, node: Any, register: Any, number: int, place: int) -> None:
        super().__init__(node, register, number, place)
        self._logger = _QUIET


class Pair:
    """Two qubits in one register; a half that was measured or lost is None."""

    __slots__ = ("halves", "register")

    def __init__(self, register: Any, source: Half, sink: Half) -> None:
        self.register = register
        self.halves: list[Half | None] = [source, sink]


@dataclass(frozen=True, slots=True)
class Pauli:
    """Probabilities of a Pauli X, Y, Z on the travelling half of a pair."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0

    def any(self) -> bool:
        """Whether there is any noise."""
        return self.x + self.y + self.z > 0


class Registers:
    """The pairs simulated at this node.

    Args:
        node: the SimulaQron virtual node that owns the registers.
        noise: draws the Pauli errors of the channels; it may be seeded (outcomes never are).
    """

    def __init__(self, node: Any, noise: random.Random) -> None:
        self._node = node
        self._noise = noise
        self._bell = library.bell_pair()
        self._next_number = 0

    def __len__(self) -> int:
        """Registers in use."""
        return len(self._node.registers)

    def make(self, engine: str, channel: Pauli) -> Pair:
        """Return a new |Phi+>, its travelling half through `channel`."""
        library.use(engine)
        register = self._node.remote_new_register(2)
        source, sink = self._half(register, 0), self._half(register, 1)
        if engine == "stabilizer":
            register.absorb_parts(self._bell, None, 2)  # SimulaQron's own merge: half the cost of two gates
        else:
            source.make_fresh()
            sink.make_fresh()
            source.remote_apply_H()
            source.remote_cnot_onto(sink.num)
        if channel.any():
            self._disturb(sink, channel)
        return Pair(register, source, sink)

    def measure(self, pair: Pair, end: int, basis: int) -> int:
        """Measure the half at `end` in basis 0 = Z, 1 = X, 2 = Y; the qubit is gone afterwards. Returns 0 or 1."""
        half = pair.halves[end]
        if half is None:
            raise ValueError("this half was measured before")
        if basis == 1:
            half.remote_apply_H()
        elif basis == 2:
            half.remote_apply_K()
        outcome = int(half.remote_measure())
        pair.halves[end] = None
        mate = pair.halves[1 - end]
        if mate is None:
            self._node.remote_delete_register(pair.register)
        elif mate.num > half.num:
            mate.num -= 1  # the engine closes the gap
        return outcome

    def drop(self, pair: Pair) -> None:
        """Forget a pair, measured or not."""
        if pair.halves != [None, None]:
            pair.halves = [None, None]
            self._node.remote_delete_register(pair.register)

    def _half(self, register: Any, place: int) -> Half:
        self._next_number += 1
        return Half(self._node.myID, register, self._next_number, place)

    def _disturb(self, half: Half, channel: Pauli) -> None:
        chance = self._noise.random()
        if chance < channel.x:
            half.remote_apply_X()
        elif chance < channel.x + channel.y:
            half.remote_apply_Y()
        elif chance < channel.x + channel.y + channel.z:
            half.remote_apply_Z()
