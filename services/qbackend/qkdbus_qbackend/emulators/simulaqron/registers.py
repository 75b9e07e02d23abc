"""Entangled pairs in SimulaQron's registers, at the node that simulates them: make, measure, drop.

Each pair has a register of its own. The halves are SimulaQron's `SimulatedQubit`s: half 0 stays at the source, half 1
travels to the sink, and whoever sits in the channel meets it on its way. A measurement is the engine's own,
destructive one, after the gate that turns the basis into Z. On |Phi+> equal bases give equal outcomes in Z, X and at
every polariser angle, and *opposite* ones in Y; they are left as measured.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import Any

from ..port import A22, A67, X, Y, Z
from . import gates, library

SOURCE, SINK = 0, 1
_DEGREES = {Z: 0.0, X: 45.0, A22: 22.5, A67: 67.5}  # polariser angle of each linear basis
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


@dataclass(frozen=True, slots=True)
class Tap:
    """What is done to the travelling halves by whoever sits in the channel.

    Attributes:
        intercept: probability that she measures a half and sends on a qubit in the state that she found.
        angles: polariser angles of her bases, degrees; she draws one of them for each half.
        jam: probability that a half is replaced by a random state.
    """

    intercept: float = 0.0
    angles: tuple[float, ...] = (0.0, 45.0)
    jam: float = 0.0

    def any(self) -> bool:
        """Whether anything is done."""
        return self.intercept + self.jam > 0


NO_TAP = Tap()


class Registers:
    """The pairs simulated at this node.

    Args:
        node: the SimulaQron virtual node that owns the registers.
        noise: draws the Pauli errors of the channels; it may be seeded (outcomes never are).
        eve: draws what an eavesdropper chooses: the system's generator.
    """

    def __init__(self, node: Any, noise: random.Random, eve: random.Random | None = None) -> None:
        self._node = node
        self._noise = noise
        self._eve = eve or random.SystemRandom()
        self._next_number = 0

    def __len__(self) -> int:
        """Registers in use."""
        return len(self._node.registers)

    def make(self, engine: str, channel: Pauli, tap: Tap = NO_TAP) -> Pair:
        """Return a new |Phi+>, its travelling half met by `tap`, then sent through the noise of `channel`."""
        library.use(engine)
        register = self._node.remote_new_register(2)
        source, sink = self._half(register, 0), self._half(register, 1)
        if not library.load_bell_pair(register):
            source.make_fresh()
            sink.make_fresh()
            source.remote_apply_H()
            source.remote_cnot_onto(sink.num)
        if tap.any():
            self._meet(sink, tap)
        if channel.any():
            self._disturb(sink, channel, self._noise)
        return Pair(register, source, sink)

    def measure(self, pair: Pair, end: int, basis: int) -> int:
        """Measure the half at `end` in a basis of the port; the qubit is gone afterwards. Returns 0 or 1.

        Refused where the engine cannot turn by the angle.
        """
        half = pair.halves[end]
        if half is None:
            raise ValueError("this half was measured before")
        if basis == Y:
            half.remote_apply_K()
        else:
            gates.turn(half, _DEGREES[basis])
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

    def _meet(self, half: Half, tap: Tap) -> None:
        """Let an eavesdropper have the travelling half: a real measurement, in place, of the qubit on its way."""
        eve = self._eve
        if eve.random() < tap.intercept:
            angle = eve.choice(tap.angles)
            gates.turn(half, angle)
            half.remote_measure_inplace()  # what is left is the qubit in the state that she found
            gates.turn(half, angle, back=True)
        if eve.random() < tap.jam:
            self._disturb(half, _RANDOM_STATE, eve)

    def _disturb(self, half: Half, channel: Pauli, dice: random.Random) -> None:
        chance = dice.random()
        if chance < channel.x:
            half.remote_apply_X()
        elif chance < channel.x + channel.y:
            half.remote_apply_Y()
        elif chance < channel.x + channel.y + channel.z:
            half.remote_apply_Z()


_RANDOM_STATE = Pauli(0.25, 0.25, 0.25)  # with the identity in the fourth quarter: nothing is left of any state
