"""What a server remembers of its callers: answers not yet settled, and calls that are still running.

A caller numbers its calls and says in each from which number on it still waits (`settled`); answers below it
are forgotten. So a repeated call gets its answer again and is not carried out twice (after RIFL, SOSP 2015).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

Who = tuple[str, bytes]  # authenticated user, caller
CALLERS = 4096
IDLE = 120.0  # s after which a silent caller is forgotten
ANSWERS = 4096  # per caller


@dataclass(slots=True)
class _Caller:
    seen: float
    settled: int = 0
    answers: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)


class Memory:
    """Answers by (user, caller, call). All bounded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._callers: OrderedDict[Who, _Caller] = OrderedDict()

    def recall(self, who: Who, call: int, settled: int) -> tuple[bytes, bytes] | tuple[()] | None:
        """Return the answer's frames (head, body) if this call was answered before; forget what is settled.

        () for a call that is settled already: a repeat that was late, for which nobody waits. None: a new call.
        """
        known = self._callers.get(who)
        if known is None:
            return None
        known.seen = self._clock()
        self._callers.move_to_end(who)
        if settled > known.settled:
            known.settled = settled
            known.answers = {number: answer for number, answer in known.answers.items() if number >= settled}
        return () if call < known.settled else known.answers.get(call)

    def keep(self, who: Who, call: int, answer: tuple[bytes, bytes]) -> None:
        """Remember an answer until its call is settled."""
        known = self._callers.get(who)
        if known is None:
            self._make_room()
            known = self._callers[who] = _Caller(self._clock())
        if call >= known.settled:
            known.answers[call] = answer
            if len(known.answers) > ANSWERS:
                del known.answers[min(known.answers)]

    def __len__(self) -> int:
        return sum(len(known.answers) for known in self._callers.values())

    def tidy(self) -> None:
        """Forget callers that have been silent for long. Called by a slow timer."""
        now = self._clock()
        while self._callers:
            who, known = next(iter(self._callers.items()))
            if now - known.seen < IDLE:
                return
            del self._callers[who]

    def _make_room(self) -> None:
        while len(self._callers) >= CALLERS:
            self._callers.popitem(last=False)
