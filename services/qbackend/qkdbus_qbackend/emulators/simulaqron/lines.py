"""Lines and their batches, as one end keeps them. A line that ended is remembered for a while, with the reason."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from qkdbus.errors import QkdbusError, Refused, Unavailable

from ..port import Role
from .registers import Pair
from .turns import Turns

REMEMBERED = 4096  # ended lines; the oldest are forgotten first
MOST_LINES = 1024  # open ones to one peer
MOST_BATCHES = 1024  # of one line that nobody has measured yet
LONGEST_NAME = 200  # characters

Key = tuple[str, str]  # peer, line name


@dataclass(slots=True)
class Batch:
    """Pairs of one batch: at the source the pairs themselves, at the sink their number alone.

    `measured` holds, for each end (0 source, 1 sink), whether a measurement has begun.
    """

    count: int
    pairs: list[Pair] = field(default_factory=list)
    measured: list[bool] = field(default_factory=lambda: [False, False])
    unfinished: int = 2  # ends that have not measured all of it


@dataclass(slots=True)
class Line:
    """One exchange's use of a link, at this end."""

    peer: str
    name: str
    role: Role
    touched: float
    batches: dict[int, Batch] = field(default_factory=dict)
    made: int = 0
    arrived: deque[tuple[int, int]] = field(default_factory=deque)  # (batch, count), in order, not yet handed up
    waiter: asyncio.Future[tuple[int, int]] | None = None
    ended: str = ""
    _entering: asyncio.Lock = field(default_factory=asyncio.Lock)  # of the calls that want its first pairs
    _entered: bool = False  # it has waited for its turn
    _turn: int | None = None  # that it has

    @property
    def waits(self) -> bool:
        """Whether somebody waits for its turn, or for its pairs: it is in use, though nothing moves."""
        return self._entering.locked() or (self.waiter is not None and not self.waiter.done())

    async def enter(self, turns: Turns) -> None:
        """Wait for its turn, once. Unavailable when it has ended meanwhile."""
        async with self._entering:
            if self._entered:
                return
            turn = await turns.take()
            if self.ended:
                turns.give_back(turn)
                self.check()
            self._entered, self._turn = True, turn

    def rest(self, turns: Turns) -> None:
        """Give its turn back; it goes on without."""
        turns.give_back(self._turn)
        self._turn = None

    def check(self) -> None:
        """Raise Unavailable when the line has ended."""
        if self.ended:
            raise Unavailable(self.ended)

    def displace_waiter(self, error: QkdbusError) -> None:
        """Let whoever waits for a batch fail."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error)
        self.waiter = None


class Lines:
    """All lines of a node."""

    def __init__(self) -> None:
        self._lines: dict[Key, Line] = {}
        self._ended: dict[Key, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def open(self, peer: str, name: str, role: Role, now: float) -> Line:
        """Return the line, made on first use.

        Refused in the other role, or when its name is too long; Unavailable when it has ended, or there are too many.
        """
        line = self._lines.get((peer, name))
        if line is None:
            self._check_not_ended(peer, name)
            self._check_room(peer, name)
            line = self._lines[peer, name] = Line(peer, name, role, now)
        elif line.role != role:
            raise Refused(f"this end is the {line.role} of that line")
        line.touched = now
        return line

    def find(self, peer: str, name: str, now: float) -> Line:
        """Return a line that is there. Unavailable when it is not."""
        line = self._lines.get((peer, name))
        if line is None:
            self._check_not_ended(peer, name)
            raise Unavailable("no such line here")
        line.touched = now
        return line

    def end(self, peer: str, name: str, reason: str, now: float) -> Line | None:
        """End a line; its name gives Unavailable from now on. Returns it when it was open."""
        self._ended[peer, name] = (reason, now)
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        line = self._lines.pop((peer, name), None)
        if line is not None:
            line.ended = reason
            line.displace_waiter(Unavailable(reason))
        return line

    def of(self, peer: str) -> list[Line]:
        """The open lines to a peer."""
        return [line for line in self._lines.values() if line.peer == peer]

    def untouched_since(self, then: float) -> list[Line]:
        """The open lines that nobody used since `then`, and for which nobody waits."""
        return [line for line in self._lines.values() if line.touched < then and not line.waits]

    def forget_ended_before(self, then: float) -> None:
        """Let names of lines that ended before `then` go."""
        self._ended = {key: value for key, value in self._ended.items() if value[1] >= then}

    def _check_room(self, peer: str, name: str) -> None:
        if len(name) > LONGEST_NAME:
            raise Refused(f"the name of a line has {len(name)} characters; {LONGEST_NAME} are allowed")
        if len(self._lines) >= MOST_LINES and len(self.of(peer)) >= MOST_LINES:
            raise Unavailable(f"{MOST_LINES} lines to {peer} are open")

    def _check_not_ended(self, peer: str, name: str) -> None:
        ended = self._ended.get((peer, name))
        if ended is not None:
            raise Unavailable(ended[0])
