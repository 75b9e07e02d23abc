"""What a server remembers of its callers: answers not yet settled.

A caller numbers its calls and says in each from which number on it still waits (`settled`); answers below it
are forgotten. So a repeated call gets its answer again and is not carried out twice (after RIFL, SOSP 2015).

Whoever makes up callers by the thousand, or settles nothing, pushes out what is remembered for the same user, and
nobody else's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

Who = tuple[str, bytes]  # authenticated user, caller
Answer = tuple[bytes, bytes]  # head, body
CALLERS = 4096  # of one user
IDLE = 120.0  # s after which a silent caller is forgotten
ANSWERS = 4096  # per caller
OCTETS = 8 << 20  # of answers, per user
BESIDES = 200  # octets that an answer takes beside its frames


@dataclass(slots=True)
class _Caller:
    seen: float
    settled: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)


class _User:
    """The callers of one user, the one that spoke last at the end, and how many octets their answers have."""

    __slots__ = ("callers", "octets")

    def __init__(self) -> None:
        self.callers: OrderedDict[bytes, _Caller] = OrderedDict()
        self.octets = 0

    def settle(self, known: _Caller, below: int) -> None:
        known.settled = below
        for number in [number for number in known.answers if number < below]:
            self.octets -= _size(known.answers.pop(number))

    def drop_oldest(self) -> None:
        _, known = self.callers.popitem(last=False)
        self.octets -= sum(map(_size, known.answers.values()))

    def drop_first(self, known: _Caller) -> None:
        self.octets -= _size(known.answers.pop(next(iter(known.answers))))


class Memory:
    """Answers by (user, caller, call). All bounded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._users: dict[str, _User] = {}

    def recall(self, who: Who, call: int, settled: int) -> Answer | tuple[()] | None:
        """Return the answer's frames (head, body) if this call was answered before; forget what is settled.

        () for a call that is settled already: a repeat that was late, for which nobody waits. None: a new call.
        """
        user = self._users.get(who[0])
        known = user.callers.get(who[1]) if user is not None else None
        if user is None or known is None:
            return None
        known.seen = self._clock()
        user.callers.move_to_end(who[1])
        if settled > known.settled:
            user.settle(known, settled)
        return () if call < known.settled else known.answers.get(call)

    def keep(self, who: Who, call: int, answer: Answer) -> None:
        """Remember an answer until its call is settled."""
        user = self._users.get(who[0])
        if user is None:
            user = self._users[who[0]] = _User()
        known = user.callers.get(who[1])
        if known is None:
            if len(user.callers) >= CALLERS:
                user.drop_oldest()
            known = user.callers[who[1]] = _Caller(self._clock())
        else:
            user.callers.move_to_end(who[1])  # not to be dropped for its own answer
        if call < known.settled:
            return
        before = known.answers.pop(call, None)
        user.octets += _size(answer) - (_size(before) if before else 0)
        known.answers[call] = answer
        if len(known.answers) > ANSWERS:
            user.drop_first(known)
        while user.octets > OCTETS and len(user.callers) > 1:
            user.drop_oldest()
        while user.octets > OCTETS and known.answers:
            user.drop_first(known)

    def __len__(self) -> int:
        return sum(len(known.answers) for user in self._users.values() for known in user.callers.values())

    def tidy(self) -> None:
        """Forget callers that have been silent for long. Called by a slow timer."""
        limit = self._clock() - IDLE
        for name, user in list(self._users.items()):
            while user.callers and next(iter(user.callers.values())).seen <= limit:
                user.drop_oldest()
            if not user.callers:
                del self._users[name]


def _size(answer: Answer) -> int:
    return BESIDES + len(answer[0]) + len(answer[1])
