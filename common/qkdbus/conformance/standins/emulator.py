"""The emulator programs of both ends of a link, in one memory: pairs whose outcomes follow the port's rules.

Equal bases give equal outcomes (Y: opposite ones), others differ with probability sin^2 of the angle between. What
an eavesdropper or noise does is done to the outcomes: `flip` of them, at the sink, are turned over.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from ...contracts.call import Call
from ...contracts.emulator import CONTRACT
from ...errors import Exhausted, Refused
from ...runtime import Room
from ...wire import emulator_pb2 as em
from ...wire.qbackend_pb2 import Attack, Attacked

ANGLES = {0: 0.0, 1: 45.0, 3: 22.5, 4: 67.5}  # of the linear bases, degrees
Y = 2
LARGEST = 4096  # pairs in a batch


@dataclass
class Batch:
    """Pairs of which one end may have measured its halves already."""

    count: int
    bases: dict[str, bytes] = field(default_factory=dict)
    outcomes: dict[str, list[int]] = field(default_factory=dict, repr=False)


class Crystal:
    """All pairs between the two ends.

    Attributes:
        flip: share of the outcomes at the second end that are turned over.
        made: pairs so far.
    """

    def __init__(self) -> None:
        self.flip, self.made = 0.0, 0
        self._dice = random.SystemRandom()
        self._batches: dict[tuple[str, int], Batch] = {}
        self._next: dict[str, int] = {}
        self._arrivals: dict[str, asyncio.Queue[tuple[int, int]]] = {}

    def create(self, line: str, count: int) -> em.Batch:
        """Make pairs on a line."""
        if not 0 < count <= LARGEST:
            raise Refused(f"a batch has 1 to {LARGEST} pairs")
        number = self._next[line] = self._next.get(line, 0) + 1
        self._batches[line, number] = Batch(count)
        self.made += count
        self.arrivals(line).put_nowait((number, count))
        return em.Batch(batch=number, count=count)

    def arrivals(self, line: str) -> asyncio.Queue[tuple[int, int]]:
        """Return what travels to a line's sink."""
        return self._arrivals.setdefault(line, asyncio.Queue())

    def measure(self, node: str, line: str, number: int, bases: bytes) -> bytes:
        """Measure an end's halves, once."""
        batch = self._batches.get((line, number))
        if batch is None or node in batch.bases or len(bases) != batch.count:
            raise Refused("not there, measured before, or not one basis a pair")
        batch.bases[node] = bases
        other = next((name for name in batch.outcomes if name != node), None)
        if other is None:
            batch.outcomes[node] = [self._dice.getrandbits(1) for _ in bases]
        else:
            theirs = zip(batch.bases[other], batch.outcomes[other], strict=True)
            batch.outcomes[node] = [self._against(basis, *one) for basis, one in zip(bases, theirs, strict=True)]
        return bytes(batch.outcomes[node])

    def discard(self, line: str) -> None:
        """Forget a line."""
        for where in [where for where in self._batches if where[0] == line]:
            del self._batches[where]
        self._arrivals.pop(line, None)

    def _against(self, basis: int, other: int, outcome: int) -> int:
        if self.flip and self._dice.random() < self.flip:
            outcome ^= 1
        if Y in (basis, other):
            return outcome ^ 1 if basis == other else self._dice.getrandbits(1)
        differ = math.sin(math.radians(ANGLES.get(basis, 0.0) - ANGLES.get(other, 0.0))) ** 2
        return outcome ^ (self._dice.random() < differ)


class Emulator:
    """One end's program: keeps the contract."""

    def __init__(self, crystal: Crystal, node: str) -> None:
        self._crystal, self._node = crystal, node

    def create_pairs(self, request: em.CreatePairs, call: Call) -> em.Batch:
        """Make pairs."""
        return self._crystal.create(request.line, request.count)

    async def await_pairs(self, request: em.AwaitPairs, call: Call) -> em.Batch:
        """Wait for the next batch. Exhausted when none comes while the caller waits."""
        try:
            async with asyncio.timeout(0.9 * (call.patience or 20.0)):
                number, count = await self._crystal.arrivals(request.line).get()
        except TimeoutError:
            raise Exhausted("no pairs on this line yet") from None
        return em.Batch(batch=number, count=count)

    def measure(self, request: em.Measure, call: Call) -> em.Outcomes:
        """Measure."""
        outcomes = self._crystal.measure(self._node, request.line, request.batch, request.bases)
        return em.Outcomes(outcomes=outcomes)

    def discard(self, request: em.Discard, call: Call) -> em.Discarded:
        """Forget a line."""
        self._crystal.discard(request.line)
        return em.Discarded()

    def disturb(self, request: em.Disturb, call: Call) -> em.Disturbed:
        """Answer; noise is the check's business here."""
        return em.Disturbed()

    def attack(self, request: Attack, call: Call) -> Attacked:
        """Answer that the channel is elsewhere."""
        return Attacked()

    def list_lines(self, request: em.ListLines, call: Call) -> em.Lines:
        """Name nobody."""
        return em.Lines(engine="stand-in")


def serve(room: Room, crystal: Crystal) -> None:
    """Put one end up in a room of its own."""
    room.serve(room.settings.ipc("emulator"), CONTRACT, Emulator(crystal, room.settings.name))
