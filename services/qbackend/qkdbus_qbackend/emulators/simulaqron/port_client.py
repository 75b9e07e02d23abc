"""The emulator port over the bus: a worker's side of the emulator program of its node. No SimulaQron in here."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol, TypeVar

import numpy as np
from google.protobuf.message import Message

from qkdbus.errors import Exhausted, Failed, QkdbusError, Refused, Silent
from qkdbus.wire.emulator_pb2 import AwaitPairs, Batch, CreatePairs, Discard, Discarded, Measure, Outcomes

from ..port import Bases, Bits, Pairs, Role

_Answer = TypeVar("_Answer", bound=Message)


class Asks(Protocol):
    """What is needed of `qkdbus.bus.asker.Asker`."""

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        """Ask the emulator program."""


class SimulaqronEmulator:
    """Implements `port.Emulator`.

    Args:
        asker: of the node's emulator program (`settings.ipc("emulator")`, contract "emulator").
        patience: s for each call; None: what the contract says.
    """

    name = "simulaqron"

    def __init__(self, asker: Asks, patience: float | None = None) -> None:
        self._asker, self._patience = asker, patience

    def line(self, role: Role, peer: str, name: str) -> SimulaqronLine:
        """Open a line to `peer`, as its source or its sink."""
        return SimulaqronLine(self._asker, role, peer, name, self._patience)


class SimulaqronLine:
    """Implements `port.Line`."""

    def __init__(self, asker: Asks, role: Role, peer: str, name: str, patience: float | None) -> None:
        self._asker, self._role, self._peer, self._name = asker, role, peer, name
        self._patience = patience

    async def create_pairs(self, count: int) -> Pairs:
        """Make `count` pairs shared with the sink."""
        self._only_for("source")
        request = CreatePairs(peer=self._peer, line=self._name, count=count)
        batch = await self._ask("create_pairs", request, Batch)
        return Pairs(batch.batch, batch.count)

    async def await_pairs(self) -> Pairs:
        """Return the line's next batch. Silent when none came within the patience."""
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
        got = await self._asker.ask(method, request, patience=self._patience)
        if not isinstance(got, answer):
            raise Failed(f"emulator.{method} was answered with {type(got).__name__}")
        return got

    def _only_for(self, role: Role) -> None:
        if self._role != role:
            raise Refused(f"this end of the line is its {self._role}")
