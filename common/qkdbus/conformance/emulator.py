"""What any emulator program must do: pairs shared by two nodes, measured once at each end, as physics has it.

A program at each end of a link; the checks are the qbackend workers. Alice's end is the source.
"""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from google.protobuf.message import Message

from ..contracts.emulator import CONTRACT
from ..wire import emulator_pb2 as em
from ..wire.head_pb2 import EXHAUSTED, OK, REFUSED, UNAVAILABLE
from ..wire.qbackend_pb2 import Attack, Attacked
from .check import Layer, Suite, hold
from .line import Answer, Line
from .networks import ALICE, BOB, OTHER, network
from .stage import Stage
from .waiting import until

BOTH = (ALICE, BOB)
Z, X, Y = 0, 1, 2
PAIRS = 300
SIGMAS = 6.0  # a fair coin leaves this once in 5e8 times
SUITE = Suite()
must = SUITE.must
WHERE = "design 6; emulator.proto"


@dataclass
class Record:
    """What both ends drew and saw: one entry a pair."""

    bases: dict[str, bytes] = field(default_factory=lambda: dict.fromkeys(BOTH, b""))
    outcomes: dict[str, bytes] = field(default_factory=lambda: dict.fromkeys(BOTH, b""), repr=False)

    def differing(self, basis: int) -> tuple[int, int]:
        """Return how many pairs were measured in this basis at both ends, and of how many the outcomes differ."""
        each = zip(*self.bases.values(), *self.outcomes.values(), strict=True)
        differ = [one != other for ours, theirs, one, other in each if ours == theirs == basis]
        return len(differ), sum(differ)

    def mixed(self) -> tuple[int, int]:
        """Return the same of the pairs that were measured in two different bases."""
        each = zip(*self.bases.values(), *self.outcomes.values(), strict=True)
        differ = [one != other for ours, theirs, one, other in each if ours != theirs]
        return len(differ), sum(differ)


class Scene:
    """Two emulator programs and the workers of both nodes."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.lines: dict[str, Line] = {}
        self._opened: list[str] = []

    async def open(self) -> None:
        """Have a worker at each node."""
        for name in BOTH:
            self.lines[name] = self.stage.line(name)

    async def settle(self) -> None:
        """Discard the lines of the check before, take noise away, and have both programs connected."""
        for line in self._opened:
            await self.ask(ALICE, "discard", em.Discard(peer=BOB, line=line))
        self._opened.clear()
        for name in BOTH:
            await until(partial(self.is_up, name), f"{OTHER[name]} in the peers_up of {name}")
        await self.ask(ALICE, "disturb", em.Disturb(peer=BOB))

    async def close(self) -> None:
        """Hang up."""
        for line in self.lines.values():
            line.close()

    async def ask(self, name: str, method: str, request: Message, patience: float = 0.0) -> Answer:
        """Call a program."""
        return await self.lines[name].ask(method, request, patience=patience)

    async def listed(self, name: str) -> em.Lines:
        """Return what a program says of itself."""
        return (await self.ask(name, "list_lines", em.ListLines())).read(em.Lines)

    async def is_up(self, name: str) -> bool:
        """Whether a program is connected to the other."""
        return list((await self.listed(name)).peers_up) == [OTHER[name]]

    async def is_empty(self) -> bool:
        """Whether no register is in use at either end."""
        return not sum([(await self.listed(name)).registers for name in BOTH])

    def line(self) -> str:
        """Return the name of a new line."""
        self._opened.append(f"check-{len(self._opened)}-{os.urandom(4).hex()}")
        return self._opened[-1]

    async def create(self, line: str, count: int) -> em.Batch:
        """Make a batch at the source."""
        asked = em.CreatePairs(peer=BOB, line=line, count=count)
        made = (await self.ask(ALICE, "create_pairs", asked)).read(em.Batch)
        hold(0 < made.count <= count, f"1 to {count} pairs", f"{made.count}")
        return made

    async def arrival(self, line: str) -> em.Batch:
        """Wait for a batch at the sink."""
        return (await self.ask(BOB, "await_pairs", em.AwaitPairs(peer=ALICE, line=line))).read(em.Batch)

    async def measure(self, name: str, line: str, batch: em.Batch, bases: bytes) -> bytes:
        """Measure one end's halves."""
        asked = em.Measure(peer=OTHER[name], line=line, batch=batch.batch, bases=bases)
        outcomes = (await self.ask(name, "measure", asked)).read(em.Outcomes).outcomes
        right = len(outcomes) == batch.count and set(outcomes) <= {0, 1}
        hold(right, f"{batch.count} outcomes of 0 or 1", f"{len(outcomes)} octets")
        return outcomes

    async def pairs(self, count: int = PAIRS, bases: Sequence[int] = (Z, X, Y)) -> Record:
        """Make pairs, and measure them at both ends in random bases of these."""
        line, record = self.line(), Record()
        while len(record.bases[ALICE]) < count:
            made = await self.create(line, count - len(record.bases[ALICE]))
            came = await self.arrival(line)
            hold(
                (came.batch, came.count) == (made.batch, made.count), "the batch that was made, at the sink", "another"
            )
            for name in BOTH:
                drawn = bytes(bases[octet % len(bases)] for octet in os.urandom(made.count))
                record.outcomes[name] += await self.measure(name, line, made, drawn)
                record.bases[name] += drawn
        return record


def fair(total: int, ones: int, what: str) -> None:
    """Breach unless this many ones may come of so many fair coins."""
    off = abs(ones - total / 2) / math.sqrt(total / 4)
    hold(off < SIGMAS, f"{what}: as many ones as zeros, about", f"{ones} of {total}")


@must("Equal bases give equal outcomes (Y: opposite ones); different bases give independent ones.", WHERE)
async def outcomes_are_correlated_as_they_must_be(scene: Scene) -> None:
    record = await scene.pairs(600)
    for basis, letter in ((Z, "Z"), (X, "X"), (Y, "Y")):
        total, differ = record.differing(basis)
        hold(differ == (total if basis == Y else 0), f"no error in {letter}", f"{differ} of {total} differ")
    fair(*record.mixed(), "outcomes in different bases")


@must("Each outcome by itself is a fair coin, at both ends.", WHERE)
async def outcomes_are_random(scene: Scene) -> None:
    record = await scene.pairs(600)
    for name in BOTH:
        fair(len(record.outcomes[name]), sum(record.outcomes[name]), f"outcomes at {name}")


@must("Batches arrive at the sink in order, with the source's numbers and counts.", WHERE)
async def batches_arrive_in_order(scene: Scene) -> None:
    line = scene.line()
    made = [await scene.create(line, count) for count in (5, 3, 8)]
    came = [await scene.arrival(line) for _ in made]
    hold([one.batch for one in came] == [one.batch for one in made], "the same batches in order", "another order")
    hold([one.count for one in came] == [one.count for one in made], "the same counts", "others")


@must("A half is measured once: a second measurement is refused, and so is a number of bases that does not fit.", WHERE)
async def a_half_is_measured_once(scene: Scene) -> None:
    line = scene.line()
    made = await scene.create(line, 8)
    await scene.arrival(line)
    for name in BOTH:
        asked = em.Measure(peer=OTHER[name], line=line, batch=made.batch, bases=bytes(made.count + 1))
        answer = await scene.ask(name, "measure", asked)
        hold(answer.head.outcome != OK, "a refusal of one basis too many", "outcomes")
        await scene.measure(name, line, made, bytes(made.count))
        asked.bases = bytes(made.count)
        again = await scene.ask(name, "measure", asked)
        hold(again.head.outcome == REFUSED, f"REFUSED for a second measurement at {name}", again.words)


@must(
    "A repeated call gets the same answer: the batch is made once, the outcomes are the same.",
    "design 3; contracts/emulator.py",
)
async def a_repeated_call_is_carried_out_once(scene: Scene) -> None:
    name, line = scene.line(), scene.stage.line(ALICE)
    try:
        asked = em.CreatePairs(peer=BOB, line=name, count=8)
        made, again = [(await line.ask("create_pairs", asked, number=3)).read(em.Batch) for _ in range(2)]
        hold(made == again, "the same batch", "another")
        measure = em.Measure(peer=BOB, line=name, batch=made.batch, bases=bytes(made.count))
        one, other = [(await line.ask("measure", measure, number=4)).read(em.Outcomes) for _ in range(2)]
        hold(one == other, "the same outcomes", "others")
    finally:
        line.close()
    await scene.arrival(name)
    late = await scene.ask(BOB, "await_pairs", em.AwaitPairs(peer=ALICE, line=name), patience=2.0)
    hold(late.head.outcome != OK, "one batch at the sink", "a second one")


@must("Each end does its part: the sink makes no pairs on the source's line, the source awaits none.", WHERE)
async def each_end_does_its_part(scene: Scene) -> None:
    line = scene.line()
    await scene.create(line, 4)
    await scene.arrival(line)
    wrong = await scene.ask(BOB, "create_pairs", em.CreatePairs(peer=ALICE, line=line, count=4))
    hold(wrong.head.outcome != OK, "a refusal of pairs made at the sink of a line", "a batch")
    wrong = await scene.ask(ALICE, "await_pairs", em.AwaitPairs(peer=BOB, line=line), patience=2.0)
    hold(wrong.head.outcome != OK, "a refusal to await pairs at the source of a line", "a batch")


@must("A peer without a link, no pairs or far too many are refused.", WHERE)
async def nonsense_is_refused(scene: Scene) -> None:
    for what, asked in (
        ("a peer without a link", em.CreatePairs(peer="Nobody", line="x", count=4)),
        ("no pairs", em.CreatePairs(peer=BOB, line=scene.line(), count=0)),
        ("four thousand million pairs", em.CreatePairs(peer=BOB, line=scene.line(), count=2**32 - 1)),
    ):
        answer = await scene.ask(ALICE, "create_pairs", asked)
        hold(answer.head.outcome in (REFUSED, EXHAUSTED), f"REFUSED for {what}", answer.words)


@must("Who awaits pairs that do not come is told so in time, and is not in the way of the next.", WHERE)
async def waiting_in_vain_ends(scene: Scene) -> None:
    line = scene.line()
    answer = await scene.ask(BOB, "await_pairs", em.AwaitPairs(peer=ALICE, line=line), patience=3.0)
    hold(answer.head.outcome in (EXHAUSTED, UNAVAILABLE), "EXHAUSTED", answer.words)
    waiting = asyncio.create_task(scene.arrival(line))
    await asyncio.sleep(0.2)
    made = await scene.create(line, 4)
    hold((await waiting).batch == made.batch, "the batch for the one who waits now", "another")


@must("`discard` at either end frees the registers at both.", WHERE)
async def discarding_frees_the_registers(scene: Scene) -> None:
    for name in BOTH:
        line = scene.line()
        await scene.create(line, 20)
        await scene.arrival(line)
        (await scene.ask(name, "discard", em.Discard(peer=OTHER[name], line=line))).read(em.Discarded)
        await until(scene.is_empty, f"no registers in use, discarded at {name}")


@must("Measured pairs take no registers any more.", WHERE)
async def measured_pairs_are_gone(scene: Scene) -> None:
    await scene.pairs(40)
    await until(scene.is_empty, "no registers in use")


@must("Lines at once do not get mixed up.", WHERE)
async def lines_are_not_mixed_up(scene: Scene) -> None:
    for record in await asyncio.gather(*(scene.pairs(60, (Z,)) for _ in range(3))):
        total, differ = record.differing(Z)
        hold(not differ, "equal outcomes on each line", f"{differ} of {total} differ")


@must("`disturb` at the source puts the Pauli error on the half that travels, and takes it away again.", WHERE)
async def noise_is_as_it_was_asked(scene: Scene) -> None:
    (await scene.ask(ALICE, "disturb", em.Disturb(peer=BOB, x=1.0))).read(em.Disturbed)
    record = await scene.pairs(120, (Z, X))
    for basis, share, letter in ((Z, 1, "Z"), (X, 0, "X")):
        total, differ = record.differing(basis)
        hold(differ == share * total, f"X errors turn all of Z and none of X ({letter})", f"{differ} of {total}")
    (await scene.ask(ALICE, "disturb", em.Disturb(peer=BOB))).read(em.Disturbed)
    total, differ = (await scene.pairs(60, (Z,))).differing(Z)
    hold(not differ, "no errors any more", f"{differ} of {total}")
    wrong = await scene.ask(ALICE, "disturb", em.Disturb(peer=BOB, x=0.9, z=0.9))
    hold(wrong.head.outcome == REFUSED, "REFUSED for probabilities above 1", wrong.words)


@must("`attack` without an eavesdropper asks who is in the channel; the source has it.", "qbackend.proto (Attack)")
async def the_source_has_the_channel(scene: Scene) -> None:
    said = {name: (await scene.ask(name, "attack", Attack(peer=OTHER[name]))).read(Attacked) for name in BOTH}
    hold(said[ALICE].here and not said[BOB].here, "the channel at Alice", "elsewhere, or at both")


@must(
    "A neighbour that dies is told (UNAVAILABLE) and its pairs are let go; when it is back, pairs pass again.",
    "design 5, 6",
)
async def a_dead_neighbour_is_told(scene: Scene) -> None:
    for victim in BOTH:
        line, other = scene.line(), OTHER[victim]
        await scene.create(line, 8)
        await scene.arrival(line)
        scene.stage.kill(victim)
        await until(partial(_is_alone, scene, other), f"{other} without a neighbour, and no registers")
        if victim == BOB:
            asked = em.CreatePairs(peer=BOB, line=line, count=4)
            answer = await scene.ask(ALICE, "create_pairs", asked)
            hold(answer.head.outcome == UNAVAILABLE, "UNAVAILABLE", answer.words)
        await scene.stage.start()
        await scene.settle()
        total, differ = (await scene.pairs(30, (Z,))).differing(Z)
        hold(not differ, "pairs as before", f"{differ} of {total} differ")


async def _is_alone(scene: Scene, name: str) -> bool:
    said = await scene.listed(name)
    return not said.peers_up and not said.registers


_NETWORK = network({"emulator": "simulaqron"})
LAYER = Layer("emulator", CONTRACT, _NETWORK, BOTH, Scene, tuple(SUITE.checks))
