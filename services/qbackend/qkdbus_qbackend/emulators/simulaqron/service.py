"""The emulator program as a plain object: pairs made here (source) or made next door (sink), measured at both ends.

The pairs of a line are simulated at its source. The sink knows how many there are and asks the source's node to
measure its halves, a batch per round trip: the emulation plane is trusted, and nothing of it is handed up but each
end's own outcomes. Work on many pairs gives way to other calls every few milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.errors import Exhausted, Refused, Unavailable
from qkdbus.wire.emulator_pb2 import (
    AwaitPairs,
    CreatePairs,
    Discard,
    Discarded,
    Disturb,
    Disturbed,
    ListLines,
    Measure,
    Outcomes,
)
from qkdbus.wire.emulator_pb2 import Batch as BatchMade
from qkdbus.wire.emulator_pb2 import Lines as LineList
from qkdbus.wire.qbackend_pb2 import Attack, Attacked

from .channels import LARGEST_BATCH, Channel
from .lines import MOST_BATCHES, Batch, Line, Lines
from .registers import SINK, SOURCE, Pauli, Registers, Tap
from .turns import Turns

MOST_REGISTERS = 65_536  # pairs at once; some 4 kB each
IDLE = 60.0  # s until an unused line is dropped
RESTING = 3.0  # s after which it has no turn any more, if all of its pairs were measured,
RESTING_LAST = 20.0  # and in any case: messages between its ends may take seconds, where nobody gets to run
LONGEST = 0.5  # s of making pairs for one call: a slow engine gives fewer than were asked for
_TURN = 0.01  # s of work between two looks at other calls
_PATIENCE = 20.0  # s that await_pairs waits when the caller does not say


class Neighbours(Protocol):
    """The virtual nodes next door. Every method raises Unavailable when that neighbour is not there or too slow."""

    def up(self) -> list[str]:
        """Names of those that are connected."""

    async def announce(self, peer: str, line: str, batch: int, count: int) -> str:
        """Tell the sink of a batch; returns "" or why it does not take it."""

    async def measure(self, peer: str, line: str, batch: int, bases: bytes) -> bytes:
        """Have the source measure the halves that travelled here."""

    def forget(self, peer: str, line: str) -> None:
        """Tell a neighbour, if it is there, that a line has ended."""


class SimulaqronService:
    """Implements `qkdbus.contracts.emulator.EmulatorProgram`, and what the neighbours' nodes ask of this one.

    Args:
        registers: the pairs simulated here.
        neighbours: the virtual nodes next door.
        channels: one per neighbour with a SimulaQron link.
        turns: at the cores of this machine; a line has one from its first pair to its end.
        attack: carries out `attack`, for the channels whose source is here.
        monotonic: s; for idle lines and for fairness.
        counters: counts pairs and lines; shown by `describe`.
        log: events without outcomes.
    """

    def __init__(
        self,
        registers: Registers,
        neighbours: Neighbours,
        channels: Mapping[str, Channel],
        *,
        turns: Turns,
        attack: Callable[[Attack], Attacked],
        monotonic: Callable[[], float],
        counters: Counter[str],
        log: logging.Logger,
    ) -> None:
        self._registers, self._neighbours, self._channels = registers, neighbours, channels
        self._turns = turns
        self._attack, self._monotonic, self._counters, self._log = attack, monotonic, counters, log
        self._lines = Lines()

    # -- asked by the workers of this node

    async def create_pairs(self, request: CreatePairs, call: Call) -> BatchMade:
        """Make a batch of pairs, as many as half a second allows, and let the sink know.

        Exhausted when too many are in use; Unavailable when the channel is cut, or the sink is not there.
        """
        channel = self._channel(request.peer)
        tap = channel.tap()
        if not 0 < request.count <= LARGEST_BATCH:
            raise Refused(f"a batch has 1 to {LARGEST_BATCH} pairs, not {request.count}")
        if len(self._registers) + request.count > MOST_REGISTERS:
            raise Exhausted(f"{len(self._registers)} registers are in use")
        if request.peer not in self._neighbours.up():
            raise Unavailable(f"the virtual node of {request.peer} is not connected")
        line = self._lines.open(request.peer, request.line, "source", self._monotonic())
        if not channel.slow:  # of those the lines of one link wait for each other, for minutes
            await line.enter(self._turns)
            line.touched = self._monotonic()
        line.made += 1
        number = line.made
        batch = line.batches[number] = Batch(min(request.count, channel.most))
        await self._make(line, batch, channel, tap)
        await self._announce(line, number, batch)
        self._counters["pairs_created"] += batch.count
        return BatchMade(batch=number, count=batch.count)

    async def await_pairs(self, request: AwaitPairs, call: Call) -> BatchMade:
        """Return the next batch of the line, in order. Exhausted when none comes while the caller waits."""
        self._channel(request.peer)
        line = self._lines.open(request.peer, request.line, "sink", self._monotonic())
        line.displace_waiter(Exhausted("another call waits for this line's pairs"))
        if line.arrived:
            number, count = line.arrived.popleft()
        else:
            number, count = await self._wait(line, call.patience or _PATIENCE)
        return BatchMade(batch=number, count=count)

    async def measure(self, request: Measure, call: Call) -> Outcomes:
        """Measure this end's halves of a batch, once, one basis (a code of the port) per pair."""
        line = self._lines.find(request.peer, request.line, self._monotonic())
        if line.role == "source":
            return Outcomes(outcomes=await self._measure(line, request.batch, SOURCE, request.bases))
        self._begin(line, request.batch, SINK, request.bases)
        outcomes = await self._neighbours.measure(line.peer, line.name, request.batch, request.bases)
        line.check()
        line.batches.pop(request.batch, None)
        self._counters["pairs_measured"] += len(outcomes)
        return Outcomes(outcomes=outcomes)

    def notes(self, method: str, request: Message, answer: Message | None) -> dict[str, object]:
        """Return what is told of a call that somebody follows: never an outcome."""
        about = (("peer", getattr(request, "peer", "")), ("count", getattr(answer, "count", 0)))
        return {name: value for name, value in about if value}

    def discard(self, request: Discard, call: Call) -> Discarded:
        """Forget a line and all of its pairs, at both ends."""
        self._channel(request.peer)
        self._end(request.peer, request.line, "the line was discarded")
        self._neighbours.forget(request.peer, request.line)
        return Discarded()

    def disturb(self, request: Disturb, call: Call) -> Disturbed:
        """Set the noise on the travelling halves of pairs made *here* from now on (this node is their source)."""
        channel = self._channel(request.peer)
        noise = Pauli(request.x, request.y, request.z)
        if not all(0 <= p <= 1 for p in (noise.x, noise.y, noise.z)) or math.fsum((noise.x, noise.y, noise.z)) > 1:
            raise Refused("x, y and z are probabilities, together at most 1")
        channel.noise = noise
        self._log.info("channel_disturbed", extra={"peer": request.peer, "x": noise.x, "y": noise.y, "z": noise.z})
        return Disturbed()

    def attack(self, request: Attack, call: Call) -> Attacked:
        """Put somebody into the channel to a peer from now on, or ask who is there."""
        self._channel(request.peer)
        return self._attack(request)

    def list_lines(self, request: ListLines, call: Call) -> LineList:
        """Say which neighbours are connected and how many registers are in use."""
        engines = sorted({channel.engine for channel in self._channels.values()})
        return LineList(peers_up=self._neighbours.up(), registers=len(self._registers), engine=",".join(engines))

    # -- asked by the virtual nodes next door

    def arrived(self, peer: str, name: str, number: int, count: int) -> str:
        """Take note of halves that travelled here; returns "" or why they are not taken."""
        try:
            line = self._lines.open(peer, name, "sink", self._monotonic())
        except (Refused, Unavailable) as error:
            return str(error)
        if len(line.batches) >= MOST_BATCHES or not 0 < count <= LARGEST_BATCH:
            return f"{len(line.batches)} batches wait, and {count} more pairs"
        line.batches[number] = Batch(count)
        if line.waiter is not None and not line.waiter.done():
            line.waiter.set_result((number, count))
            line.waiter = None
        else:
            line.arrived.append((number, count))
        return ""

    async def measure_travelled(self, peer: str, name: str, number: int, bases: bytes) -> bytes:
        """Measure, here at the source, the halves that are at `peer`."""
        line = self._lines.find(peer, name, self._monotonic())
        if line.role != "source":
            raise Refused("these pairs were made at the other end")
        return await self._measure(line, number, SINK, bases)

    def forgotten(self, peer: str, name: str) -> None:
        """End a line that the other end has discarded."""
        self._end(peer, name, f"{peer} has discarded the line")

    def peer_lost(self, peer: str) -> None:
        """End all lines to a neighbour whose node went away: their pairs are gone, at one end or the other."""
        lines = self._lines.of(peer)
        for line in lines:
            self._end(peer, line.name, f"the virtual node of {peer} was lost")
        if lines:
            self._log.warning("lines_lost", extra={"peer": peer, "lines": len(lines)})

    def sweep(self) -> None:
        """Drop lines that nobody uses any more, and before that take their turns; to be called every second or so."""
        now = self._monotonic()
        for line in self._lines.untouched_since(now - RESTING):
            if not line.batches or line.touched < now - RESTING_LAST:
                line.rest(self._turns)  # its worker has died, or it is kept up by something else than qubits
        then = now - IDLE
        for line in self._lines.untouched_since(then):
            self._end(line.peer, line.name, f"nobody used the line for {IDLE:.0f} s")
            self._neighbours.forget(line.peer, line.name)
        self._lines.forget_ended_before(then)

    # -- inside

    def _channel(self, peer: str) -> Channel:
        channel = self._channels.get(peer)
        if channel is None:
            raise Refused(f"no SimulaQron link to {peer!r} here")
        return channel

    async def _make(self, line: Line, batch: Batch, channel: Channel, tap: Tap) -> None:
        registers, pairs = self._registers, batch.pairs
        engine, noise = channel.engine, channel.noise
        async with channel.turn():
            line.check()
            now = self._monotonic()
            turn, enough = now + _TURN, now + LONGEST
            while len(pairs) < batch.count and now < enough:
                pairs.append(registers.make(engine, noise, tap))
                now = self._monotonic()
                if now > turn:
                    await asyncio.sleep(0)
                    line.check()
                    turn = now + _TURN
        batch.count = len(pairs)

    async def _announce(self, line: Line, number: int, batch: Batch) -> None:
        try:
            refusal = await self._neighbours.announce(line.peer, line.name, number, batch.count)
        except Unavailable as error:
            self._end(line.peer, line.name, str(error))
            raise
        if refusal:
            self._end(line.peer, line.name, refusal)
        line.check()

    async def _wait(self, line: Line, patience: float) -> tuple[int, int]:
        waiter: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        line.waiter = waiter
        try:
            # a little less than the caller waits: a batch must not go to one who has just left
            async with asyncio.timeout(0.9 * patience):
                return await waiter
        except TimeoutError:
            if waiter.done() and not waiter.cancelled():
                return waiter.result()  # it came in the same moment
            raise Exhausted("no pairs on this line yet") from None
        finally:
            if line.waiter is waiter:
                line.waiter = None

    def _begin(self, line: Line, number: int, end: int, bases: bytes) -> Batch:
        """Check a measurement and mark it begun: a half is measured once."""
        batch = line.batches.get(number)
        unmade = line.role == "source" and batch is not None and len(batch.pairs) < batch.count
        if batch is None or batch.measured[end] or unmade:
            raise Refused(f"batch {number} is not there, or was measured before")
        self._channels[line.peer].check(bases, batch.count)
        batch.measured[end] = True
        return batch

    async def _measure(self, line: Line, number: int, end: int, bases: bytes) -> bytes:
        batch = self._begin(line, number, end, bases)
        measure, outcomes = self._registers.measure, bytearray(batch.count)
        async with self._channels[line.peer].turn():
            line.check()
            turn = self._monotonic() + _TURN
            for place, (pair, basis) in enumerate(zip(batch.pairs, bases, strict=True)):
                outcomes[place] = measure(pair, end, basis)
                if self._monotonic() > turn:
                    await asyncio.sleep(0)
                    line.check()
                    turn = self._monotonic() + _TURN
        batch.unfinished -= 1
        if not batch.unfinished:
            line.batches.pop(number, None)
        if end == SOURCE:
            self._counters["pairs_measured"] += batch.count
        return bytes(outcomes)

    def _end(self, peer: str, name: str, reason: str) -> None:
        line = self._lines.end(peer, name, reason, self._monotonic())
        if line is None:
            return
        self._counters["lines_ended"] += 1
        line.rest(self._turns)
        for batch in line.batches.values():
            for pair in batch.pairs:
                self._registers.drop(pair)
