"""Which fault happens when, where and for how long: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .programs import SUPERVISORD, WARM

SERVICES = ("keymanager", "keysync", "dispatcher", "qbackend", "emulator")
PROCESSES = (*SERVICES, SUPERVISORD)
FULL, READ_ONLY, CLOCK = "disk full", "state read-only", "clock off"
CUT, SILENCE, ONE_WAY, SLOW, LOSS, TWICE = (
    "link cut",
    "link silent",
    "link silent one way",
    "link slow",
    "packets lost",
    "packets twice",
)
QUIET_AT_END = 8.0  # s without a new fault before the time is over
WARM_AGAIN = 25.0  # s after the warm parent was restarted in which it is left alone


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to come.

    Attributes:
        at: s after the beginning.
        kind: "kill keysync", "stop keysync", "disk full" ...
        where: the node, or the two nodes of a link; none for the warm parent.
        layer: of a program, or of a database.
        length: s until it is undone; 0 for a kill, which is done at once.
        amount: how far the clock is off (s), how long a way is (s), how many packets (percent).
    """

    number: int
    at: float
    kind: str
    where: tuple[str, ...]
    layer: str = ""
    length: float = 0.0
    amount: float = 0.0

    @property
    def target(self) -> str:
        """What it hits, for a person."""
        return " - ".join(self.where) or "this machine"


@dataclass(frozen=True)
class Field:
    """What there is to hit: nodes with their layers, links, and the kinds of faults that can be had here."""

    layers: Mapping[str, Sequence[str]]
    links: Sequence[tuple[str, str]]
    kinds: Mapping[str, int]


def kinds(*, packets: bool, read_only: bool) -> dict[str, int]:
    """Return the kinds of faults, each with how often it comes among the others."""
    found = {f"kill {layer}": 3 for layer in PROCESSES} | {f"stop {layer}": 2 for layer in PROCESSES}
    found |= {f"kill {WARM}": 1, f"stop {WARM}": 1, FULL: 3, CLOCK: 4}
    found |= {CUT: 3, SILENCE: 3, ONE_WAY: 3, SLOW: 3}
    found |= {READ_ONLY: 2} if read_only else {}
    return found | ({LOSS: 3, TWICE: 3} if packets else {})


def plan(field: Field, count: int, seconds: float, seed: int) -> list[Fault]:
    """Return `count` faults (a few less where there is no room for more), in the order of time.

    No two hit the same thing at once in the same way: what one undoes, another still wants.
    """
    dice = random.Random(seed)
    deck = _deck(field.kinds, dice)
    times = sorted(dice.uniform(0.0, seconds - QUIET_AT_END) for _ in range(count))
    busy: dict[tuple[str, ...], float] = {}
    faults: list[Fault] = []
    for at in times:
        for _ in range(20):
            fault = _draw(next(deck), at, seconds - at, field, dice)
            held = _held(fault)
            if busy.get(held, -1.0) < at:
                busy[held] = at + fault.length + (WARM_AGAIN if fault.layer == WARM and fault.length else 0.0)
                faults.append(_numbered(fault, len(faults) + 1))
                break
    return faults


def _deck(weights: Mapping[str, int], dice: random.Random) -> Iterator[str]:
    """Deal kinds for ever: each comes in its turn, however short the run."""
    cards = [kind for kind, weight in weights.items() for _ in range(weight)]
    first = list(weights)
    dice.shuffle(first)
    yield from first  # each once
    while True:
        dice.shuffle(cards)
        yield from cards


def _draw(kind: str, at: float, left: float, field: Field, dice: random.Random) -> Fault:
    verb, _, layer = kind.partition(" ")
    node, link = dice.choice(sorted(field.layers)), dice.choice(field.links)
    if layer == WARM:
        return Fault(0, at, kind, (), layer, min(dice.uniform(1.0, 5.0), left))
    if verb in ("kill", "stop") and layer in PROCESSES:
        having = [name for name in sorted(field.layers) if layer == SUPERVISORD or layer in field.layers[name]]
        length = 0.0 if verb == "kill" else dice.choice((0.3, 1.0, 3.0, 6.0, 12.0)) * dice.uniform(0.7, 1.3)
        return Fault(0, at, kind, (dice.choice(having),), layer, min(length, left))
    if kind in (FULL, READ_ONLY):
        service = dice.choice(("keymanager", "keysync")) if kind == READ_ONLY else ""
        return Fault(0, at, kind, (node,), service, min(dice.uniform(1.0, 8.0), left))
    if kind == CLOCK:
        jump = dice.choice((-1.0, 1.0)) * dice.choice((90.0, 900.0, 7200.0)) * dice.uniform(0.7, 1.5)
        return Fault(0, at, kind, (node,), "", min(dice.uniform(3.0, 30.0), left), round(jump))
    if kind == ONE_WAY:
        link = link if dice.random() < 0.5 else (link[1], link[0])  # the first is not heard
    length = dice.uniform(4.0, 15.0) if kind in (SLOW, LOSS, TWICE) else dice.choice((0.5, 2.0, 5.0, 12.0))
    amount = {SLOW: dice.uniform(0.02, 0.3), LOSS: dice.uniform(1.0, 25.0), TWICE: dice.uniform(5.0, 60.0)}.get(
        kind, 0.0
    )
    return Fault(0, at, kind, link, "", min(length, left), round(amount, 3))


def _held(fault: Fault) -> tuple[str, ...]:
    """What nobody else may have hold of meanwhile."""
    if fault.layer == WARM:
        return (WARM,)
    if fault.kind.startswith(("kill", "stop")):
        return (fault.kind[:4], *fault.where, fault.layer)
    if fault.kind in (FULL, READ_ONLY, CLOCK):
        return (fault.kind, *fault.where)
    if fault.kind in (LOSS, TWICE):
        return (fault.kind, *sorted(fault.where))
    return ("relay", *sorted(fault.where))


def _numbered(fault: Fault, number: int) -> Fault:
    at, length = round(fault.at, 2), round(fault.length, 2)
    return Fault(number, at, fault.kind, fault.where, fault.layer, length, fault.amount)
