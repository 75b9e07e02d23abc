"""The ideal emulator: perfect pairs with seeded Pauli noise, inside the worker, for tests and fast stocks of key.

For each pair the source draws one hidden outcome per basis from the system's random generator and sends them to the
sink's emulator over the quantum plane of the exchange. Equal bases then give equal outcomes (opposite in Y, as
|Phi+> does), different bases independent ones. Like any emulation plane it is trusted: no protocol code sees it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qkdbus.errors import Refused, Unavailable
from qkdbus.network.model import Noise

from ..bits import octet_count
from ..failure import Broken
from .port import PAULI, Bases, Bits, Line, Pairs, PulseLine, Role, X, Y, Z

_HEAD = struct.Struct("<QQ")  # batch, pairs
Rows = npt.NDArray[np.uint8]  # shape (3, octets): packed outcomes in Z, X, Y; SECRET


class Quantum(Protocol):
    """The quantum plane of one exchange."""

    def signal(self, body: bytes) -> None:
        """Send to the other end's emulator."""

    async def sense(self) -> bytes:
        """Wait for the next signal of the other end's emulator."""


class IdealEmulator:
    """An emulator for one exchange.

    `token` gives the outcomes (the system's random generator); `seed` only the noise.
    """

    name = "ideal"
    bases = PAULI

    def __init__(self, quantum: Quantum, noise: Noise, token: Callable[[int], bytes], seed: int) -> None:
        self._quantum, self._noise, self._token, self._seed = quantum, noise, token, seed

    def line(self, role: Role, peer: str, name: str) -> Line:
        """Open the one line that the quantum plane carries."""
        return _IdealLine(self._quantum, self._noise, self._token, self._seed)

    def pulse_line(self, role: Role, peer: str, name: str) -> PulseLine:
        """Refused: its pairs are not made of light."""
        raise Refused("ideal: it has no weak pulses")

    def link_time(self) -> float:
        """Return 0: its pairs take no time of their own."""
        return 0.0


class _IdealLine:
    def __init__(self, quantum: Quantum, noise: Noise, token: Callable[[int], bytes], seed: int) -> None:
        self._quantum, self._noise, self._token = quantum, noise, token
        self._dice = np.random.default_rng(seed)
        self._halves: dict[int, Rows] = {}
        self._made = 0

    async def create_pairs(self, count: int) -> Pairs:
        octets = octet_count(count)
        rows = np.frombuffer(bytearray(self._token(3 * octets)), np.uint8).reshape(3, octets)
        pairs = Pairs(self._made, count)
        self._made += 1
        self._halves[pairs.batch] = rows
        travelling = rows ^ self._flips(count)
        travelling[Y] ^= 0xFF
        self._quantum.signal(_HEAD.pack(pairs.batch, count) + travelling.tobytes())
        return pairs

    async def await_pairs(self) -> Pairs:
        signal = memoryview(await self._quantum.sense())
        if len(signal) < _HEAD.size:
            raise Broken("a quantum signal that cannot be read")
        batch, count = _HEAD.unpack_from(signal)
        if len(signal) != _HEAD.size + 3 * octet_count(count):
            raise Broken("a quantum signal that cannot be read")
        rows = np.frombuffer(bytearray(signal[_HEAD.size :]), np.uint8)
        self._halves[batch] = rows.reshape(3, octet_count(count))
        return Pairs(batch, count)

    async def measure(self, pairs: Pairs, bases: Bases) -> Bits:
        rows = self._halves.pop(pairs.batch, None)
        if rows is None:
            raise Unavailable(f"ideal: no batch {pairs.batch} to measure")
        outcomes = rows[Z] & _where(bases, Z) | rows[X] & _where(bases, X) | rows[Y] & _where(bases, Y)
        rows.fill(0)
        return np.unpackbits(outcomes, count=pairs.count, bitorder="little")

    async def discard(self) -> None:
        for rows in self._halves.values():
            rows.fill(0)
        self._halves.clear()

    def _flips(self, count: int) -> Rows | int:
        """Return which outcomes a Pauli on the travelling half turns: X turns Z and Y, Y Z and X, Z X and Y."""
        noise = self._noise
        if not (noise.x or noise.y or noise.z):
            return 0
        drawn = self._dice.random(count)
        x = drawn < noise.x
        y = (drawn >= noise.x) & (drawn < noise.x + noise.y)
        z = (drawn >= noise.x + noise.y) & (drawn < noise.x + noise.y + noise.z)
        return np.packbits(np.stack([x | y, y | z, x | z]), axis=1, bitorder="little")


def _where(bases: Bases, basis: int) -> Rows:
    return np.packbits(bases == basis, bitorder="little")
