"""The emulator port over the bus: a worker's side of the emulator program of its node. No SimulaQron in here.

Calls may take minutes, where many virtual nodes wait for each other; a program that hangs is noticed all the same.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol, TypeVar

import numpy as np
from google.protobuf.message import Message

from qkdbus.errors import Exhausted, Failed, QkdbusError, Refused, Silent, Unavailable
from qkdbus.network.model import LinkSettings
from qkdbus.wire.emulator_pb2 import AwaitPairs, Batch, CreatePairs, Discard, Discarded, Measure, Outcomes
from qkdbus.wire.head_pb2 import Ping

from ...eve import NOTHING_ARRIVES
from ...failure import NoKey
from ..port import LINEAR, PAULI, Bases, Bits, Pairs, PulseLine, Role

SIGN_AFTER, SIGN_WITHIN = 10.0, 20.0  # s without an answer, until the program has to show that it lives; and how soon
_Answer = TypeVar("_Answer", bound=Message)


class Asks(Protocol):
    """What is needed of `qkdbus.bus.asker.Asker`."""

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        """Ask the emulator program."""


def bases_of(link: LinkSettings) -> frozenset[int]:
    """Return the bases in which the engines that a link may have can measure."""
    return PAULI if "stabilizer" in link.engines() else PAULI | LINEAR


class SimulaqronEmulator:
    """Implements `port.Emulator`.

    Args:
        asker: of the node's emulator program (`settings.ipc("emulator")`, contract "emulator").
        patience: s for each call; None: what the contract says.
        bases: of the link: see `bases_of`.
    """

    name = "simulaqron"

    def __init__(self, asker: Asks, patience: float | None = None, *, bases: frozenset[int] = PAULI) -> None:
        self._asker, self._patience, self.bases = asker, patience, bases

    def line(self, role: Role, peer: str, name: str) -> SimulaqronLine:
        """Open a line to `peer`, as its source or its sink."""
        return SimulaqronLine(self._asker, role, peer, name, self._patience)

    def pulse_line(self, role: Role, peer: str, name: str) -> PulseLine:
        """Refused: its qubits come one by one."""
        raise Refused("SimulaQron has no weak pulses")

    def link_time(self) -> float:
        """Return 0.0: it has no clock of its own."""
        return 0.0


class SimulaqronLine:
    """Implements `port.Line`."""

    def __init__(self, asker: Asks, role: Role, peer: str, name: str, patience: float | None) -> None:
        self._asker, self._role, self._peer, self._name = asker, role, peer, name
        self._patience = patience

    async def create_pairs(self, count: int) -> Pairs:
        """Make `count` pairs shared with the sink, or fewer (at least one) where the engine is slow.

        NoKey, with an alarm, when the channel is cut: a laboratory would see it go dark.
        """
        self._only_for("source")
        request = CreatePairs(peer=self._peer, line=self._name, count=count)
        try:
            batch = await self._ask("create_pairs", request, Batch)
        except Unavailable as error:
            if NOTHING_ARRIVES in str(error):
                raise NoKey(f"dark: {NOTHING_ARRIVES}", alarm=True) from None
            raise
        return Pairs(batch.batch, batch.count)

    async def await_pairs(self) -> Pairs:
        """Return the line's next batch. Silent when none came within the patience, or the emulator program hangs."""
        self._only_for("sink")
        try:
            batch = await self._ask("await_pairs", AwaitPairs(peer=self._peer, line=self._name), Batch)
        except Exhausted as error:
            raise Silent(str(error)) from None
        return Pairs(batch.batch, batch.count)

    async def measure(self, pairs: Pairs, bases: Bases) -> Bits:
        """Measure this end's halves; outcomes have shape (pairs.count,)."""
        request = Measure(
            peer=self._peer, line=self._name, batch=pairs.batch, bases=bases.astype(np.uint8, copy=False).tobytes()
        )
        outcomes = (await self._ask("measure", request, Outcomes)).outcomes
        if len(outcomes) != pairs.count:
            raise Failed(f"{len(outcomes)} outcomes for {pairs.count} pairs")
        return np.frombuffer(outcomes, dtype=np.uint8)

    async def discard(self) -> None:
        """Forget the line at both ends. Never raises."""
        with suppress(QkdbusError):
            await self._ask("discard", Discard(peer=self._peer, line=self._name), Discarded)

    async def _ask(self, method: str, request: Message, answer: type[_Answer]) -> _Answer:
        call = asyncio.ensure_future(self._asker.ask(method, request, patience=self._patience))
        try:
            while not (await asyncio.wait({call}, timeout=SIGN_AFTER))[0]:
                await self._asker.ask("ping", Ping(), patience=SIGN_WITHIN)
            got = call.result()
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        if not isinstance(got, answer):
            raise Failed(f"emulator.{method} was answered with {type(got).__name__}")
        return got

    def _only_for(self, role: Role) -> None:
        if self._role != role:
            raise Refused(f"this end of the line is its {self._role}")
