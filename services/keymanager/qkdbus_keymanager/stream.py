"""One association as this end holds it: what is durable (a row of `assoc`), and what is only in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from qkdbus.contracts.call import OPERATOR
from qkdbus.wire.keymanager_pb2 import QoS

from .buffer import Buffer, Run
from .ranges import Ranges, Span

if TYPE_CHECKING:
    from .delivery import Answer
    from .waiting import Waiter

EVERYONE = "*"  # the local user's own credential: may act for any application
FIRST_TAKE = 16 << 10  # bytes; grows while the stream is read fast


class State(IntEnum):
    """Where an association is (reference "agreement" 3): not yet known to keysync, known, being closed."""

    NEW = 0
    OPEN = 1
    CLOSING = 2


@dataclass(slots=True, eq=False)
class Stream:
    """The local end of a key stream.

    Attributes:
        row: its number in the store, never used again.
        oid: names this incarnation to keysync; `sid` (serialised, empty until paired) is its name there.
        done: indices that this end has delivered or let expire; the first other one is `done.low`.
        synced: the two key managers hold the same QoS for this KSID. Only then keysync is asked to open it.
        told: the application has been told the QoS, so it cannot change any more.
        opened_by: user, caller and number of the call that opened it: a repeat gets the same stream.
        frontier: every index below it is in the buffer, or done.
        next_index: what keysync had available at the last take.
        fresh: keys in the buffer that nobody has had yet.
        held: remembered deliveries by first index; not acknowledged to keysync until settled.
        objection, objected: why the other end does not go along, and the status for that; empty, 0.
        reserving: keysync is being asked to open it.
    """

    row: int
    ksid: bytes
    oid: bytes
    peer: str
    source: str
    destination: str
    app: str
    qos: QoS
    state: State = State.NEW
    sid: bytes = b""
    done: Ranges = field(default_factory=Ranges)
    expired: int = 0
    peer_oid: bytes = b""
    peer_attached: bool = False
    synced: bool = False
    told: bool = False
    draining_since: float = 0.0
    opened_by: bytes = b""
    # in memory only
    buffer: Buffer = field(default_factory=Buffer)
    held: dict[int, Answer] = field(default_factory=dict)
    waiters: list[Waiter] = field(default_factory=list)
    delivered: int = 0
    delivered_before: int = 0  # when this process began
    expired_before: int = 0
    fresh: int = 0
    frontier: int = 0
    next_index: int = 0
    caught_up: bool = False
    objection: str = ""
    objected: int = 0
    reserving: bool = False
    # how it is fed (feed.py)
    pulling: bool = False
    again: bool = False
    wanted: list[Span] = field(default_factory=list)
    low_water: int = 0
    take_bytes: int = FIRST_TAKE
    taken_at: float = -1e9
    poll_at: float = 0.0
    used_at: float = 0.0
    pairing_pause: float = 0.0
    delivered_then: int = 0
    unacknowledged_since: float | None = None
    announced_at: float = -1e9
    # derived from the QoS
    chunk: int = 0
    lifetime: float = 0.0
    timeout: float = 0.0
    metadata: bool = True
    users: frozenset[str] = frozenset()
    _news: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.users = frozenset((self.app, EVERYONE, OPERATOR))
        self.frontier = self.done.low
        self.adopt(self.qos)

    def adopt(self, qos: QoS) -> None:
        """Take `qos` (complete) as what holds for this stream."""
        self.qos = qos
        self.chunk = qos.key_chunk_size
        self.lifetime = float(qos.ttl) or float("inf")
        self.timeout = qos.timeout / 1e3
        self.metadata = bool(qos.metadata_mimetype)

    @property
    def live(self) -> bool:
        """Whether the application still holds it."""
        return self.state != State.CLOSING

    @property
    def pair(self) -> frozenset[str]:
        """Both applications, in no order (ruling C6)."""
        return frozenset((self.source, self.destination))

    def tell(self) -> None:
        """Wake whoever waits in `change`: something about the other end is new."""
        if self._news is not None:
            self._news.set()
            self._news = None

    def change(self) -> asyncio.Event:
        """Return an event that is set at the next change of the other end."""
        if self._news is None:
            self._news = asyncio.Event()
        return self._news

    def object(self, status: int, why: str) -> None:
        """Note that the stream cannot live as it is, for now."""
        self.objected, self.objection = status, why
        self.tell()

    # -- keys
    def accept(self, first: int, bits: bytes, available_at: float, tail: bytes) -> None:
        """Put keys of a take into the buffer: those nobody has had yet, and those a caller may ask for again."""
        end = first + len(bits) // self.chunk
        fresh = self.done.missing(first, end)
        again = [(max(first, a), min(end, b)) for a, b in self.held_spans() if a < end and b > first]
        for spans, new in ((fresh, True), (again, False)):
            for span in spans:
                for start, stop in list(self.buffer.gaps(span)):
                    piece = bytearray(memoryview(bits)[(start - first) * self.chunk : (stop - first) * self.chunk])
                    self.buffer.put(Run(start, self.chunk, piece, available_at, tail))
                    self.fresh += stop - start if new else 0

    def held_spans(self) -> list[Span]:
        """Return the indices that are delivered and may be asked for again."""
        return [(answer.first, answer.end) for answer in self.held.values()]

    def deliver(self, first: int, count: int) -> None:
        """Count keys of the buffer as delivered. Their bits stay until `settle`."""
        self.done.add(first, count)
        self.delivered += count
        self.fresh -= count

    def settle(self, first: int, end: int, now: float) -> None:
        """Wipe delivered keys that nobody will ask for again; the next take acknowledges them."""
        self.buffer.forget(first, end)
        if self.unacknowledged_since is None:
            self.unacknowledged_since = now

    def oldest(self) -> float:
        """Return when the first key in memory expires (Unix time), infinite when none does."""
        runs = self.buffer.runs
        return min((run.available_at for run in runs), default=float("inf")) + self.lifetime

    def expire(self, first: int, end: int, now: float) -> None:
        """Count the keys [first, end) as expired where nobody has had them, and wipe them all."""
        for answer in [a for a in self.held.values() if a.first < end and a.end > first]:
            answer.forget(now)
        for span in self.done.missing(first, end):
            for start, stop in self._buffered(span):
                self.fresh -= stop - start
                self.buffer.forget(start, stop)
        self.expired += self.done.add(first, end - first)
        if self.unacknowledged_since is None:
            self.unacknowledged_since = now

    def _buffered(self, span: Span) -> list[Span]:
        inside = ((max(span[0], run.first), min(span[1], run.end)) for run in self.buffer.runs)
        return [(start, stop) for start, stop in inside if start < stop]

    def wipe(self, now: float) -> None:
        """Forget all keys, and what is remembered of deliveries."""
        for answer in list(self.held.values()):
            answer.forget(now)
        self.buffer.wipe()
        self.fresh = 0
        self.wanted.clear()
