"""One link at work: its end of the agreement, its exchanges, its peer; steps in, effects carried out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from qkdbus import trace
from qkdbus.contracts.keysync import AGREED, ALARM, AVAILABLE, CLEAR, FORMED, PAIRED, STARTED
from qkdbus.wire import keysync_pb2 as wire
from qkdbus.wire.dispatcher_pb2 import Exchanged, KeyBlock

from . import bits
from .arbiter import Arbiter
from .effects import Effects, JobKey, StopJob
from .follower import RUN_OCTETS, Follower
from .health import LinkHealth
from .jobs import Asks, JobRunner
from .rows import Block
from .sane import clean, sane

COMPLAIN_EVERY = 10.0  # s


class Publishes(Protocol):
    """Tells whoever listens (`Room.publish`)."""

    def __call__(self, event: str, **fields: object) -> None:
        """Publish an event."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a link needs of the world.

    Attributes:
        tell: sends a message to the peer, or drops it.
        dispatcher: of this node.
        publish: events.
        settle: commits what was done and carries out its effects; called after steps that no server commits.
        wake: calls `settle` once more, so many s later.
        clock, monotonic: Unix time and a clock that only grows, s.
        shut_out: why the operator has shut the peer out; "" when it is let in.
    """

    tell: Callable[[wire.Reconcile], None]
    dispatcher: Asks
    publish: Publishes
    settle: Callable[[], None]
    wake: Callable[[float], None]
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    log: logging.Logger
    shut_out: Callable[[], str] = lambda: ""


class Link:
    """Joins an end to its surroundings. Steps change the store; `flush` runs after the commit."""

    def __init__(self, end: Arbiter | Follower, around: Surroundings) -> None:
        self.end = end
        self.health = LinkHealth(around.monotonic())
        self._around = around
        self._runner = JobRunner(around.dispatcher, end.peer, self, around.log, arbiter=end.arbiter)
        self._waiting_to_start = False
        self._refused, self._complain_at = 0, 0.0

    def now(self) -> float:
        """Return Unix time, s."""
        return self._around.clock()

    # --- steps

    def hear(self, message: wire.Reconcile) -> None:
        """The peer spoke."""
        if not sane(message, self.end.link.epoch.n):
            self._refuse()
            return
        clean(message)
        back = self.health.heard(self._around.monotonic())
        with trace.following(message.trace), self.end.store.step():
            self.end.hear(message, self._around.clock())
            if back:  # whatever was said meanwhile is lost: say it again now, not in a second
                self._around.log.info("peer_up", extra={"peer": self.end.peer})
                self.end.tick(self._around.clock())

    def _refuse(self) -> None:
        """Log that the peer talks nonsense, now and then: it may do so without end."""
        self._refused += 1
        now = self._around.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + COMPLAIN_EVERY
            self._around.log.warning("message_refused", extra={"peer": self.end.peer, "count": self._refused})

    def tick(self) -> None:
        """A second has passed."""
        now = self._around.clock()
        with self.end.store.step():
            self.end.expire(now)
            self.end.sweep()
            self.end.tick(now)

    def plan(self) -> None:
        """Before the commit: start what there is room for."""
        if not self.end.replan and not self._waiting_to_start:
            return
        may_start = self.health.may_start(self._around.monotonic()) and not self._around.shut_out()
        self._waiting_to_start = not may_start
        with self.end.store.step():
            self.end.plan(self._around.clock(), may_start=may_start)

    # --- reports of the job runner; each is a drain of its own

    def reserved(self, key: JobKey, endpoint: str) -> bool:
        """A worker waits: the peer can be asked."""
        with self.end.store.step():
            lives = self.end.reserved(key, endpoint)
        self._around.settle()
        return lives

    def exchanged(self, key: JobKey, answer: Exchanged) -> None:
        """An exchange ended."""
        now = self._around.monotonic()
        if answer.HasField("block") and well_formed(answer.block):
            if self.health.formed(answer.block.record, answer.block.length, now):
                self._around.publish(CLEAR, peer=self.end.peer)
            answer.block.record.trace = trace_of(key)
            with self.end.store.step():
                lived = self.end.own_block(key, _block(key, answer.block), self._around.clock())
            if lived:
                said = {"job": key.job, "block_id": answer.block.run.hex(), "bits": answer.block.length}
                self._around.publish(FORMED, peer=self.end.peer, **said)
        else:
            self._no_key(key, answer)
        self._around.settle()

    def failed(self, key: JobKey, reason: str) -> None:
        """An exchange could not be held."""
        self._back_off(self.health.failed(self._around.monotonic()))
        with self.end.store.step():
            self.end.job_failed(key, reason)
        self._around.settle()

    def measured(self, answer: Exchanged) -> None:
        """The exchange of a job that the peer has given up says what it saw."""
        if answer.HasField("record"):
            self.health.measured(answer.record)
        if answer.alarm:
            self._alarmed(answer.failure)

    def _no_key(self, key: JobKey, answer: Exchanged) -> None:
        reason = answer.failure or "no block"
        alarm = reason if answer.alarm else ""
        record = answer.record if answer.HasField("record") else None
        self._back_off(self.health.failed(self._around.monotonic(), record, alarm, again=answer.again))
        extra = {"peer": self.end.peer, "job": key.job, "reason": reason, "alarm": answer.alarm}
        self._around.log.warning("no_key", extra=extra)
        if answer.alarm:
            self.health.totals.alarms += 1
            measured = {"s": answer.record.s, "s_error": answer.record.s_error} if answer.record.s_error else {}
            self._around.publish(ALARM, peer=self.end.peer, qber=answer.record.qber, reason=reason, **measured)
        with self.end.store.step():
            self.end.job_failed(key, reason, alarm, again=answer.again)

    def _back_off(self, pause: float) -> None:
        if self.end.arbiter:
            self._around.wake(pause)

    # --- effects

    def start(self) -> None:
        """Begin: what is durable says what to send."""
        with self.end.store.step():
            self.end.start(self._around.clock())

    def flush(self) -> None:
        """Carry out what the committed steps ask for."""
        effects = self.end.drain()
        for why in effects.epochs:
            extra = {"peer": self.end.peer, "epoch": self.end.link.epoch.n, "reason": why}
            self._around.log.info("epoch", extra=extra)
        if effects.alarm:
            self._alarmed(effects.alarm)
        for stop in effects.stops:
            self._stop(stop)
        for run in effects.runs:
            with trace.following(trace_of(run.key)):  # what is done for the exchange, here and in the layers below
                self._around.publish(STARTED, peer=self.end.peer, job=run.key.job, bits=run.bits)
                self._runner.start(run, self.end.rules.exchange_patience(run.bits))
        for message in effects.messages:
            self._around.tell(message)
        self._tell(effects)
        for oid in effects.told:
            self._around.publish(AVAILABLE, oid=oid.hex())

    def _tell(self, effects: Effects) -> None:
        """Say what has been agreed, each under the trace of what it follows from."""
        for oid, followed in effects.paired:
            with trace.following(followed):
                self._around.log.info("stream_paired", extra={"peer": self.end.peer, "oid": oid.hex()})
                self._around.publish(PAIRED, peer=self.end.peer, oid=oid.hex())
        for job, run in effects.agreed:
            with trace.following(trace_of(JobKey(self.end.link.epoch, job))):
                self._around.publish(AGREED, peer=self.end.peer, job=job, block_id=run.hex())

    def _alarmed(self, reason: str) -> None:
        """Raise the alarm of an exchange that has been given up, unless there is one."""
        if self.health.alarmed(reason):
            self.health.totals.alarms += 1
            self._around.log.warning("alarm", extra={"peer": self.end.peer, "reason": reason})
            self._around.publish(ALARM, peer=self.end.peer, reason=reason)

    def _stop(self, stop: StopJob) -> None:
        if stop.failed:
            self._back_off(self.health.failed(self._around.monotonic(), again=stop.again))
        with trace.following(trace_of(stop.key)):
            if stop.failed:
                extra = {"peer": self.end.peer, "job": stop.key.job, "reason": stop.reason}
                self._around.log.warning("job_ended", extra=extra)
            self._runner.stop(stop.key, at_once=stop.again or not stop.failed)

    async def close(self) -> None:
        """End the exchanges under way."""
        await self._runner.close()

    # --- report

    @property
    def state(self) -> str:
        """up, silent (the peer does not answer), alarm, or down."""
        if self._around.shut_out():
            return "down"
        return self.health.state(self._around.monotonic(), agreed=bool(self.end.link.fid))

    @property
    def running(self) -> int:
        """Exchanges under way."""
        return self._runner.running

    def status(self) -> wire.LinkStatus:
        """Say how the link is."""
        now, end, totals = self._around.monotonic(), self.end, self.health.totals
        out = self._around.shut_out()
        return wire.LinkStatus(
            peer=end.peer,
            state=self.state,
            arbiter=end.arbiter,
            epoch=end.link.epoch.message(),
            protocol=end.rules.protocol,
            emulator=totals.emulator,
            reservoir_bits=end.link.reservoir_bits,
            buffered_keys=end.material.available_count(),
            key_rate=self.health.rate(now),
            qber=totals.qber,
            alarm=f"{end.peer} is shut out ({out})" if out else self.health.alarm,
            blocks=totals.blocks,
            created=totals.created,
            sifted_out=totals.sifted_out,
            disclosed=totals.disclosed,
            kept=totals.kept,
            failed=totals.failed,
            last=totals.last,
        )


def trace_of(key: JobKey) -> bytes:
    """Return the trace of a job, which both ends know."""
    return trace.of_job(key.epoch.n, key.epoch.r, key.job)


def well_formed(block: KeyBlock) -> bool:
    """Tell whether a block is what the contract says."""
    named = len(block.run) == RUN_OCTETS and block.length > 0
    return named and len(block.bits) == bits.octets(block.length)


def _block(key: JobKey, block: KeyBlock) -> Block:
    packed = bits.cut(block.bits, 0, block.length)  # nothing above the last bit
    return Block(key.job, block.run, block.length, block.record.SerializeToString(), packed)
