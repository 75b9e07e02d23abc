"""What the virtual nodes at the two ends of a link ask of each other. All that comes from there is checked here."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.spread import pb

from qkdbus.errors import QkdbusError

from .lines import LONGEST_NAME

NONSENSE = "not what a virtual node asks"


class Resident(Protocol):
    """Who lives behind the links (`SimulaqronService`)."""

    def arrived(self, peer: str, name: str, number: int, count: int) -> str:
        """Take note of halves that travelled here; returns "" or why they are not taken."""

    async def measure_travelled(self, peer: str, name: str, number: int, bases: bytes) -> bytes:
        """Measure, here at the source, the halves that are at `peer`."""

    def forgotten(self, peer: str, name: str) -> None:
        """End a line that the other end has discarded."""

    def peer_lost(self, peer: str) -> None:
        """End all lines to a neighbour whose node went away."""


class Link(pb.Referenceable):  # type: ignore[misc]
    """What one neighbour may ask of this node. `far` is the same thing at the other end."""

    def __init__(self, peer: str, resident: Resident) -> None:
        self.peer, self._resident = peer, resident
        self.far: Any = None
        self.lost = asyncio.Event()

    def remote_arrived(self, line: str, batch: int, count: int) -> str:
        """Halves of `count` pairs travelled here; returns "" or why they are not taken."""
        if not (_is_name(line) and _is_number(batch) and _is_number(count)):
            return NONSENSE
        return self._resident.arrived(self.peer, line, batch, count)

    def remote_measure(self, line: str, batch: int, bases: bytes) -> Any:
        """Measure the halves that are at the peer. Returns (outcomes, "") or (b"", why not)."""
        if not (_is_name(line) and _is_number(batch) and isinstance(bases, bytes)):
            return b"", NONSENSE
        return Deferred.fromFuture(asyncio.ensure_future(self._measure(line, batch, bases)))

    def remote_alive(self) -> bool:
        """Say that this end is there, whatever else it is doing."""
        return True

    def remote_forget(self, line: str) -> None:
        """The peer has discarded a line."""
        if _is_name(line):
            self._resident.forgotten(self.peer, line)

    async def _measure(self, line: str, batch: int, bases: bytes) -> tuple[bytes, str]:
        try:
            return await self._resident.measure_travelled(self.peer, line, batch, bases), ""
        except QkdbusError as error:
            return b"", str(error)


def _is_name(said: object) -> bool:
    """Tell whether a peer, which may send anything that the broker can carry, has named a line."""
    return isinstance(said, str) and len(said) <= LONGEST_NAME


def _is_number(said: object) -> bool:
    return isinstance(said, int) and 0 <= said < 1 << 62
