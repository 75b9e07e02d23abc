"""One end of one link: what arbiter and follower have in common. Sans-I/O: events in, effects out.

Every method is one step: it reads and writes the store within the transaction under way and adds to the
effects, which are handed out by `drain()` after that transaction is durable (agreement, principle 6).
Chance and limits come in by the door; time is an argument (`now`, Unix time in s).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from qkdbus.trace import CURRENT
from qkdbus.wire import keysync_pb2 as wire

from .delivery import Delivery
from .effects import Effects, JobKey
from .entries import first_chain, sid_message
from .material import Material
from .replay import Replay
from .rows import NO_EPOCH, Block, Epoch, LinkRow, OpenRow
from .store import Store
from .tables import Tables

Token = Callable[[int], bytes]  # so many random bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """What a link may do.

    Attributes:
        protocol: of the exchanges.
        block_bits: key bits asked of one exchange.
        jobs: exchanges at once.
        reservoir_bits: agreed bits kept ready for streams to come.
        window_bytes: agreed and not yet delivered by the slower end, per stream.
        patience: s that an exchange may take, and s per key bit of it besides.
        formed_patience: s that a stored block waits for the follower's.
        own_block_patience: s that an exchange may still take when the follower has its block.
        reservoir_life: s that bits stay in the reservoir.
        commit_window: entries under way at once.
    """

    protocol: str = "e91-same-bases"
    block_bits: int = 1024
    jobs: int = 2
    reservoir_bits: int = 0
    window_bytes: int = 4096
    patience: float = 60.0
    patience_per_bit: float = 0.005
    formed_patience: float = 5.0
    own_block_patience: float = 2.0
    reservoir_life: float = 3600.0
    commit_window: int = 64

    def exchange_patience(self, bits: int) -> float:
        """Return how long an exchange of so many bits may take, s."""
        return self.patience + bits * self.patience_per_bit


class End(ABC):
    """One end of one link. Volatile fields are caches of messages: losing them costs time, never truth."""

    arbiter: bool

    def __init__(self, store: Store, peer: str, rules: Rules, token: Token) -> None:
        self.store = store
        self.peer = peer
        self.rules = rules
        self.tables = Tables(store, peer)
        self.material = Material(store, peer)
        self.delivery = Delivery(self.tables, self.material)
        self.effects = Effects()
        self.link = LinkRow(self.arbiter)
        self.replan = True  # something happened that may make room for key (arbiter)
        self._token = token
        self._replay = Replay(self.tables, self.material, at_once=not self.arbiter)

    # --- what the two roles do differently

    @abstractmethod
    def start(self, now: float) -> None:
        """Begin after a start of the process: what is durable says what to send."""

    @abstractmethod
    def hear(self, message: wire.Reconcile, now: float) -> None:
        """Act on a message of the other end."""

    @abstractmethod
    def tick(self, now: float) -> None:
        """Send again whatever has not been seen to arrive; let time pass."""

    @abstractmethod
    def plan(self, now: float, *, may_start: bool) -> None:
        """Decide what there is room for; `may_start`: exchanges may begin."""

    @abstractmethod
    def reserved(self, key: JobKey, endpoint: str) -> bool:
        """Learn where this end's worker listens; return whether the job still lives."""

    @abstractmethod
    def own_block(self, key: JobKey, block: Block, now: float) -> bool:
        """Store the block of this end's exchange; return whether the job still lived."""

    @abstractmethod
    def job_failed(self, key: JobKey, reason: str, alarm: str = "", *, again: bool = False) -> None:
        """Learn that this end's exchange gave no block; `alarm`: why it raised one, which the peer is told.

        `again`: another worker is there for the next try.
        """

    @abstractmethod
    def _opened(self, row: OpenRow, now: float) -> None: ...

    @abstractmethod
    def _closed(self, sid: int, now: float) -> None: ...

    @abstractmethod
    def _low_moved(self, row: OpenRow) -> None: ...

    @abstractmethod
    def _forget(self) -> None:
        """Drop the volatile fields, with the exchanges under way."""

    # --- asked by the key manager

    def open_stream(self, asked: wire.OpenStream, now: float) -> None:
        """Store a local association; idempotent by oid."""
        if self.tables.open(asked.oid) is not None:
            return
        row = OpenRow(
            asked.oid,
            self.peer,
            asked.ksid,
            None,
            asked.chunk_size,
            asked.ttl,
            asked.priority,
            0,
            0,
            asked.min_bps,
        )
        self.tables.save_open(row)
        self._opened(row, now)

    def close_stream(self, oid: bytes, now: float) -> None:
        """Delete a local association and its chunks; the absence of the row is the close."""
        row = self.tables.open(oid)
        if row is None:
            return
        self.tables.delete_open(oid)
        if row.sid is not None:
            self.delivery.wipe_stream(row.sid)
            self._closed(row.sid, now)

    def take(self, asked: wire.Take) -> wire.Taken:
        """Wipe what is acknowledged, then answer what is available. Never wipes what it hands out."""
        row = self.tables.open(asked.oid)
        if row is None:
            return wire.Taken(state=wire.GONE)
        if row.sid is None:
            return wire.Taken(state=wire.WAITING)
        stream = self.tables.stream(row.sid)
        reach = self.delivery.available_to(stream, row)
        before = row.low
        name = sid_message(self.link.epoch, row.sid)
        row, ranges = self.delivery.acknowledge(row, min(asked.low, reach), asked.done)
        if row.low > before:
            self._low_moved(row)
        left = stream is None or (stream.closed_f if self.arbiter else stream.closed_a)
        taken = wire.Taken(
            sid=name,
            state=wire.DRAINING if left else wire.OPEN,
            floor=row.floor,
            next_index=reach,
        )
        self.delivery.answer(taken, row, ranges, asked.after, asked.max_bytes)
        return taken

    # --- time

    def expire(self, now: float) -> None:
        """Wipe what is past its time."""
        for oid in self.delivery.expire(now):
            self.effects.told[oid] = None
            row = self.tables.open(oid)
            if row is not None:
                self._low_moved(row)

    def sweep(self) -> None:
        """Rewrite rows that are delivered in part."""
        if self.delivery.partly:
            self.delivery.sweep()

    # --- effects

    def drain(self) -> Effects:
        """Hand out the effects of all steps since the last time; call it after the commit."""
        self._due(self.effects)
        effects, self.effects = self.effects, Effects()
        return effects

    @abstractmethod
    def _due(self, effects: Effects) -> None:
        """Build the messages of which one is enough for all steps since the last time."""

    def _say(self, message: wire.Reconcile) -> None:
        message.epoch.CopyFrom(self.link.epoch.message())
        message.fid = self.link.fid
        if trace := CURRENT.get():
            message.trace = trace
        self.effects.messages.append(message)

    def _noted(self, entry: wire.Entry) -> None:
        """Note what an applied entry says of a stream or an exchange, for those who follow it."""
        if entry.HasField("open"):
            oid = entry.open.oid_a if self.arbiter else entry.open.oid_f
            self.effects.paired.append((oid, CURRENT.get()))
        elif entry.alloc.job:
            self.effects.agreed.append((entry.alloc.job, entry.alloc.run))

    # --- epochs

    def _load(self) -> bool:
        """Read the link's row; False when there is none, or one of the other role."""
        link = self.tables.link()
        if link is not None:
            self.link = link
        return link is not None and link.arbiter == self.arbiter and link.epoch != NO_EPOCH

    def _start_over(self, epoch: Epoch, fid: int, why: str) -> None:
        """Wipe what is shared and begin another epoch; applications whose streams are gone are told."""
        for oid in self.tables.wipe_shared():
            self.effects.told[oid] = None
        self.effects.messages.clear()
        self._forget()
        self.delivery.partly.clear()
        chain = first_chain(epoch)
        self.link = LinkRow(self.arbiter, epoch, fid, chain=chain)
        self.tables.save_link(self.link)
        self.tables.add_chain(0, chain, 0)
        self.effects.epochs.append(why)

    def _random(self) -> int:
        return int.from_bytes(self._token(8), "little") or 1
