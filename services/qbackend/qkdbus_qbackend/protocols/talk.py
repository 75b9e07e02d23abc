"""Protocols without input and output: generators that yield what they wish for, and are sent what came of it.

`drive` runs one end over a real line and a real channel; `converse` runs both ends of a talk in one line of a test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..emulators.port import Bases, Bits, Pairs
from ..failure import Broken

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Tell:
    """Wish: say this to the other end, in public (authenticated, not secret)."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """Wish: the next thing the other end says (bytes)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Wish: the outcomes of this end's halves of `pairs`, measured in `bases`."""

    pairs: Pairs
    bases: Bases = field(repr=False)


Wish = Tell | Hear | Measure
Talk = Generator[Wish, Any, T]


async def drive(
    talk: Talk[T],
    tell: Callable[[bytes], None],
    hear: Callable[[], Awaitable[bytes]],
    measure: Callable[[Pairs, Bases], Awaitable[Bits]] | None = None,
) -> T:
    """Carry out what one end of a talk wishes for; return its result."""
    answer: bytes | Bits | None = None
    try:
        while True:
            wish, answer = talk.send(answer), None
            if isinstance(wish, Tell):
                tell(wish.body)
            elif isinstance(wish, Hear):
                answer = await hear()
            elif measure is not None:
                answer = await measure(wish.pairs, wish.bases)
            else:
                raise AssertionError("this talk has no pairs to measure")
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        talk.close()


Measures = tuple[Callable[[Bases], Bits], Callable[[Bases], Bits]]


def converse(one: Talk[T], other: Talk[S], measures: Measures | None = None) -> tuple[T, S]:
    """Run both ends against each other in memory; return both results. Broken when both wait for ever.

    `measures` gives the outcomes of each end's halves for its bases.
    """
    ends = (_End(one), _End(other))
    while not all(end.done for end in ends):
        moved = False
        for number, end in enumerate(ends):
            while not end.done and end.step(ends[1 - number], measures[number] if measures else None):
                moved = True
        if not moved and not all(end.done for end in ends):
            raise Broken("each end waits for the other")
    return ends[0].result, ends[1].result


class _End:
    """One end of a talk in memory: what it wishes for now, and what was said to it."""

    def __init__(self, talk: Talk[Any]) -> None:
        self._talk = talk
        self._heard: deque[bytes] = deque()
        self._wish: Wish | None = None
        self.done = False
        self.result: Any = None
        self._resume(None)

    def step(self, other: _End, measure: Callable[[Bases], Bits] | None) -> bool:
        """Carry out one wish; return whether that was possible."""
        if isinstance(self._wish, Tell):
            other._heard.append(self._wish.body)
            self._resume(None)
        elif isinstance(self._wish, Measure):
            assert measure is not None, "give `measures` to a talk that measures"
            self._resume(measure(self._wish.bases))
        elif self._heard:
            self._resume(self._heard.popleft())
        else:
            return False
        return True

    def _resume(self, answer: bytes | Bits | None) -> None:
        try:
            self._wish = self._talk.send(answer)
        except StopIteration as end:
            self.done, self.result = True, end.value
