"""Protocols without input and output: generators that yield what they wish for, and are sent what came of it.

`drive` runs one end over a real line and a real channel; `converse` runs both ends of a talk in one line of a test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from ..emulators.port import Bases, Bits, Clicks, Pairs, Pulses, Sent
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


@dataclass(frozen=True, slots=True)
class Detect:
    """Wish: the Clicks of a batch of pulses (sink)."""

    pulses: Pulses


@dataclass(frozen=True, slots=True)
class Recall:
    """Wish: what was Sent in the pulses that clicked (source)."""

    pulses: Pulses
    which: bytes


@dataclass(frozen=True, slots=True)
class Work:
    """Wish: what `work()` returns. For what takes long: it may run in a thread, while other exchanges go on."""

    work: Callable[[], Any] = field(repr=False)


Wish = Tell | Hear | Measure | Detect | Recall | Work
Talk = Generator[Wish, Any, T]


class Device(Protocol):
    """What a talk may do at its end of the quantum channel: any part of a `Line` or a `PulseLine`."""

    async def measure(self, pairs: Pairs, bases: Bases) -> Bits:
        """See `port.Line`."""

    async def detect(self, pulses: Pulses) -> Clicks:
        """See `port.PulseLine`."""

    async def recall(self, pulses: Pulses, which: bytes) -> Sent:
        """See `port.PulseLine`."""


async def drive(
    talk: Talk[T],
    tell: Callable[[bytes], None],
    hear: Callable[[], Awaitable[bytes]],
    device: object = None,
    work: Callable[[Callable[[], Any]], Awaitable[Any]] | None = None,
) -> T:
    """Carry out what one end of a talk wishes for; return its result.

    `device` is its end of the quantum channel, if it measures (it has what `Device` says, as far as it is needed);
    `work` runs what takes long, in place of doing it at once.
    """
    hands = cast(Device, device)
    answer: object = None
    try:
        while True:
            wish, answer = talk.send(answer), None
            match wish:
                case Tell(body):
                    tell(body)
                case Hear():
                    answer = await hear()
                case Work(job):
                    answer = await work(job) if work else job()
                case Measure(pairs, bases):
                    answer = await hands.measure(pairs, bases)
                case Detect(pulses):
                    answer = await hands.detect(pulses)
                case Recall(pulses, which):
                    answer = await hands.recall(pulses, which)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        talk.close()


Hand = Callable[[Any], Any]  # carries out the measuring wishes (Measure, Detect, Recall) of one end, in a test
Measures = tuple[Callable[[Bases], Bits], Callable[[Bases], Bits]]


def converse(
    one: Talk[T], other: Talk[S], measures: Measures | None = None, hands: tuple[Hand, Hand] | None = None
) -> tuple[T, S]:
    """Run both ends against each other in memory; return both results. Broken when both wait for ever.

    `measures` gives the outcomes of each end's halves for its bases; `hands` answers any wish that measures.
    """
    if measures is not None:
        first, second = measures
        hands = (lambda wish: first(wish.bases), lambda wish: second(wish.bases))
    ends = (_End(one), _End(other))
    while not all(end.done for end in ends):
        moved = False
        for number, end in enumerate(ends):
            while not end.done and end.step(ends[1 - number], hands[number] if hands else None):
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

    def step(self, other: _End, hand: Hand | None) -> bool:
        """Carry out one wish; return whether that was possible."""
        match self._wish:
            case Tell(body):
                other._heard.append(body)
                self._resume(None)
            case Work(job):
                self._resume(job())
            case Hear():
                if not self._heard:
                    return False
                self._resume(self._heard.popleft())
            case wish:
                assert hand is not None, "give `measures` or `hands` to a talk that measures"
                self._resume(hand(wish))
        return True

    def _resume(self, answer: object) -> None:
        try:
            self._wish = self._talk.send(answer)
        except StopIteration as end:
            self.done, self.result = True, end.value
