"""The scene of the qbackend: the pairs between two workers, and both dispatchers, which compare what they get."""

from __future__ import annotations

import asyncio

from ..wire.dispatcher_pb2 import Exchange, Exchanged, JobName, KeyBlock
from ..wire.qbackend_pb2 import Run
from .check import Breach, LeftOut, hold
from .line import Answer, Line
from .networks import ALICE, BOB, OTHER
from .stage import Stage
from .standins import emulator
from .standins.emulator import Crystal

BOTH = (ALICE, BOB)
BITS = 256
EXCHANGE_PATIENCE = 120.0  # s
TRIES = 5  # an exchange may give no key, for a reason; not always


class Scene:
    """Two workers, the pairs between them, and both dispatchers.

    Attributes:
        blocks: the bits of all blocks so far, one end's.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage, self.crystal = stage, Crystal()
        self.lines: dict[str, Line] = {}
        self.blocks: list[bytes] = []
        self.runs: list[bytes] = []
        self._job = 0

    async def open(self) -> None:
        """Put the emulator programs up."""
        for name in BOTH:
            emulator.serve(self.stage.room(name, "emulator"), self.crystal)
            self.lines[name] = self.stage.line(name)

    async def settle(self) -> None:
        """Leave the pairs alone."""
        self.crystal.flip = 0.0

    async def close(self) -> None:
        """Hang up."""
        for line in self.lines.values():
            line.close()

    def new_job(self) -> int:
        """Return a job number that was never used."""
        self._job += 1
        return self._job

    def asked(self, name: str, job: int, count: int = BITS) -> Run:
        """Return what an end's dispatcher asks its worker."""
        settings = self.stage.settings(ALICE)
        return Run(
            exchange=Exchange(
                name=JobName(peer=OTHER[name], epoch_n=1, epoch_r=99, job=job),
                arbiter=name == ALICE,
                bits=count,
                protocol=self.stage.settings(ALICE).neighbours[0].link.protocol,
                endpoint="" if name == ALICE else f"tcp://{settings.host}:{settings.ports.qbackend[0]}",
            )
        )

    async def run(self, name: str, job: int, count: int = BITS, line: Line | None = None) -> Exchanged:
        """Run one end of an exchange."""
        asked = self.asked(name, job, count)
        answer = await (line or self.lines[name]).ask("run", asked, patience=EXCHANGE_PATIENCE)
        return answered(answer)

    async def both(self, job: int, count: int = BITS) -> tuple[Exchanged, Exchanged]:
        """Run both ends of an exchange at once."""
        ours, theirs = await asyncio.gather(*(self.run(name, job, count) for name in BOTH))
        return ours, theirs

    async def block(self, count: int = BITS) -> tuple[KeyBlock, KeyBlock]:
        """Run exchanges until one gives a block at both ends; compare the two. Breach when none does."""
        failures = []
        for _ in range(TRIES):
            ours, theirs = await self.both(self.new_job(), count)
            if self.alike(ours, theirs):
                return ours.block, theirs.block
            failures.append(ours.failure or theirs.failure)
        raise Breach(f"a block in {TRIES} exchanges", f"none: {failures[-1]}")

    def alike(self, ours: Exchanged, theirs: Exchanged) -> bool:
        """Compare what both ends answered; return whether both have a block. Breach when two blocks differ."""
        for answer in (ours, theirs):
            if not answer.HasField("block"):
                hold(answer.failure, "a block, or the reason why there is none", "neither")
        if not (ours.HasField("block") and theirs.HasField("block")):
            return False  # one end may have gone through when the other was cut off: no harm, the runs do not meet
        one, other = ours.block, theirs.block
        hold(one.run == other.run, "one run in both blocks of an exchange", "two different runs")
        hold(one.length == other.length, "the same number of bits at both ends", f"{one.length} and {other.length}")
        hold(cut(one) == cut(other), "the same bits at both ends, first to last", "different bits")
        self.runs.append(one.run)
        self.blocks.append(cut(one))
        self.stage.seen.add(cut(one))
        return True

    def need_emulator(self) -> None:
        """Leave a check out when the worker gets its key elsewhere."""
        if not self.crystal.made:
            raise LeftOut("it asked no emulator program for pairs: it has its key from elsewhere")


def answered(answer: Answer) -> Exchanged:
    """Return the answer to `run`."""
    return answer.read(Exchanged)


def cut(block: KeyBlock) -> bytes:
    """Return the bits of a block without what is above the last one."""
    value = int.from_bytes(block.bits, "little") % (1 << block.length)
    return value.to_bytes((block.length + 7) // 8, "little")
