"""One flood: so many hostile messages to one door, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .ground import Door, Ground
from .mutator import Mutator
from .speaker import Speaker

LEARN_EVERY = 500  # messages


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood came to.

    Attributes:
        said: messages.
        seconds: that they took, with the answers.
        outcomes: what was answered.
        slowest: s until the slowest ping between them was answered.
        calls: of the client that behaves, answered meanwhile.
        work: s of processor time that the honest node took for it.
    """

    door: str
    said: int
    seconds: float
    outcomes: Counter[str]
    slowest: float
    calls: int
    work: float


def flood(ground: Ground, door: Door, count: int, seed: int) -> Flood:
    """Say `count` hostile messages at a door. TimeoutError when nobody is there any more."""
    mutator = Mutator(seed)
    speaker = Speaker(ground.context, door.endpoint, door.pair, door.server_key)
    calls, began, work = ground.regular.calls, time.monotonic(), ground.work()
    said = speaker.say(_messages(ground, door, mutator, count))
    seconds = time.monotonic() - began
    speaker.close()
    return Flood(
        door.name, said, seconds, speaker.outcomes, speaker.slowest, ground.regular.calls - calls, ground.work() - work
    )


def _messages(ground: Ground, door: Door, mutator: Mutator, count: int) -> Iterator[list[bytes]]:
    for number in range(count):
        if number % LEARN_EVERY == 0:
            ground.teach(mutator, door)
        yield mutator.call(door.contract)
