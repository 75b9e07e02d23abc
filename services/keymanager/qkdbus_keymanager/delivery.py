"""What callers may ask for again: remembered deliveries (reference "agreement" 5.5; after RIFL, SOSP 2015).

Each caller numbers its calls and says in each from which number on it still waits. A delivery is remembered,
durably, until that mark passes it: so a repeated call gets the same index and the same bits, also after a crash.
Until then its indices are not acknowledged to keysync, which is where the bits are taken from again.
"""

from __future__ import annotations

import struct
from asyncio import Future
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qkdbus.contracts.call import Call
from qkdbus.errors import Exhausted, Refused

from .stream import Stream

IDLE = 30.0  # s without a call, after which a caller is not expected to ask again
MOST_ANSWERS = 4096  # per caller
MOST_DRY = 256  # calls of a caller that waited in vain, remembered
MOST_CALLERS = 4096  # of one user: whoever makes them up by the thousand pushes out none but its own
AT_ONCE = 8  # one in so many of them goes then
_ANSWER = struct.Struct("<QQII")  # number, row of the stream, first index, count
Who = tuple[str, bytes]


class Answer:
    """Keys [first, end) of a stream, delivered to one call."""

    __slots__ = ("caller", "end", "first", "number", "packed", "stream")

    def __init__(self, caller: Caller, number: int, stream: Stream, first: int, end: int) -> None:
        self.caller, self.number, self.stream = caller, number, stream
        self.first, self.end = first, end
        self.packed = _ANSWER.pack(number, stream.row, first, end - first)

    def forget(self, now: float) -> None:
        """Nobody will ask for it again: wipe its bits."""
        caller = self.caller
        caller.answers.pop(self.number, None)
        caller.changed[caller] = None
        self.stream.held.pop(self.first, None)
        self.stream.settle(self.first, self.end, now)


@dataclass(slots=True, eq=False)
class Caller:
    """One caller object at one application. `changed` is the set of those that the next commit writes.

    `dry`: calls that waited in vain, with what they were told. One of them that is repeated too late must not take a
    key: its caller has its answer, and would not hear of it.
    """

    who: Who
    changed: dict[Caller, None] = field(repr=False)
    seen: float
    settled: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)
    pending: dict[int, Future[Any]] = field(default_factory=dict)
    dry: dict[int, Future[Any]] = field(default_factory=dict)

    def waited_in_vain(self, number: int, told: Future[Any]) -> None:
        """Keep what a call was told that got no key."""
        self.dry[number] = told
        if len(self.dry) > MOST_DRY:
            del self.dry[next(iter(self.dry))]

    def pack(self) -> bytes:
        """Write all that is remembered; empty when there is nothing."""
        if not self.answers:
            return b""
        return b"".join([self.settled.to_bytes(8, "little"), *[a.packed for a in self.answers.values()]])


class Callers:
    """All callers that may ask again."""

    def __init__(self, monotonic: Callable[[], float], now: Callable[[], float]) -> None:
        self._monotonic, self._now = monotonic, now
        self._callers: dict[Who, Caller] = {}
        self._of_user: Counter[str] = Counter()
        self.changed: dict[Caller, None] = {}

    def __len__(self) -> int:
        return len(self._callers)

    def of(self, call: Call) -> Caller | None:
        """Return who calls, or None when nothing is to be remembered; forget what the call says is settled.

        Refused when the call itself is settled: nobody waits for its answer. Exhausted when the caller settles
        nothing.
        """
        if not call.caller or not call.number:
            return None
        caller = self._callers.get((call.user, call.caller))
        if caller is None:
            caller = self._welcome((call.user, call.caller))
        caller.seen = self._monotonic()
        if call.settled > caller.settled:
            self._settle(caller, call.settled)
        if call.number < caller.settled:
            raise Refused(f"call {call.number} is settled")
        if len(caller.answers) >= MOST_ANSWERS and call.number not in caller.answers:
            raise Exhausted(f"{MOST_ANSWERS} calls of this caller are not settled")
        return caller

    def hear(self, call: Call) -> None:
        """Take note of what a call of another kind says is settled."""
        caller = self._callers.get((call.user, call.caller))
        if caller is not None:
            caller.seen = self._monotonic()
            if call.settled > caller.settled:
                self._settle(caller, call.settled)

    def remember(self, caller: Caller, number: int, stream: Stream, first: int, end: int) -> None:
        """Keep a delivery until its call is settled."""
        answer = Answer(caller, number, stream, first, end)
        caller.answers[number] = answer
        stream.held[first] = answer
        self.changed[caller] = None

    def restore(self, who: Who, memory: bytes, rows: dict[int, Stream]) -> None:
        """Take back what `Caller.pack` wrote; deliveries of streams that are no more are dropped."""
        caller = self._welcome(who)
        caller.settled = int.from_bytes(memory[:8], "little")
        for number, row, first, count in _ANSWER.iter_unpack(memory[8:]):
            if row in rows:
                self.remember(caller, number, rows[row], first, first + count)

    def tidy(self) -> None:
        """Forget callers that have not called for long. Called by a slow timer."""
        limit = self._monotonic() - IDLE
        for who, caller in list(self._callers.items()):
            if caller.seen < limit and not caller.pending:
                self._dismiss(who)

    def _welcome(self, who: Who) -> Caller:
        if self._of_user[who[0]] >= MOST_CALLERS:
            theirs = sorted((c for c in self._callers.values() if c.who[0] == who[0]), key=lambda c: c.seen)
            for silent in theirs[: MOST_CALLERS // AT_ONCE]:
                self._dismiss(silent.who)
        self._of_user[who[0]] += 1
        caller = self._callers[who] = Caller(who, self.changed, self._monotonic())
        return caller

    def _dismiss(self, who: Who) -> None:
        caller = self._callers.pop(who)
        self._of_user[who[0]] -= 1
        if not self._of_user[who[0]]:
            del self._of_user[who[0]]
        now = self._now()
        for answer in list(caller.answers.values()):
            answer.forget(now)

    def _settle(self, caller: Caller, below: int) -> None:
        above, caller.settled = caller.settled, below
        answers = caller.answers
        if answers:
            now = self._now()
            step = below - above < len(answers)  # nearly always a step or two
            for number in range(above, below) if step else [n for n in answers if n < below]:
                if number in answers:
                    answers[number].forget(now)
        for number in [n for n in caller.dry if n < below]:
            del caller.dry[number]
        if caller.pending:
            for number in [n for n in caller.pending if n < below]:
                caller.pending.pop(number).cancel()
