"""All that this key manager knows: streams, those announced from next door, those that were, and who may ask again.

Changes gather in memory; `commit` writes them in one transaction. No message that tells of a change is sent before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qkdbus.wire.keymanager_pb2 import QoS

from .delivery import Callers
from .store import Kind, Store, Tombstone
from .stream import State, Stream

MOST_KNOWN = 10_000  # announced streams that no application here has opened


@dataclass(slots=True)
class Known:
    """A stream that a neighbour announced and nobody has opened here."""

    peer: str
    source: str
    destination: str
    qos: QoS
    oid: bytes

    @property
    def pair(self) -> frozenset[str]:
        """Both applications, in no order."""
        return frozenset((self.source, self.destination))


@dataclass(slots=True)
class Registry:
    """The state of one key manager. `streams` holds one per KSID, those being closed too."""

    store: Store
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    streams: dict[bytes, Stream] = field(default_factory=dict)
    by_oid: dict[bytes, Stream] = field(default_factory=dict)
    by_opener: dict[bytes, Stream] = field(default_factory=dict)
    known: dict[bytes, Known] = field(default_factory=dict)
    tombstones: dict[bytes, Tombstone] = field(default_factory=dict)
    callers: Callers = field(init=False)
    changed: dict[Stream, None] = field(default_factory=dict)
    moved: dict[Stream, None] = field(default_factory=dict)
    lost: set[bytes] = field(default_factory=set)  # KSIDs whose application has not been told so yet
    broken: BaseException | None = None
    trusted: bool = True
    past_delivered: int = 0  # keys of streams that are no more, since the start
    past_expired: int = 0

    def __post_init__(self) -> None:
        self.callers = Callers(self.monotonic, self.monotonic)

    def load(self, boot_id: str) -> None:
        """Read everything back from the store; `trusted` says whether its numbers may be relied upon."""
        self.trusted = self.store.begin(boot_id)
        for stream in self.store.streams():
            stream.delivered_before, stream.expired_before = stream.delivered, stream.expired
            self._index(stream)
        self.tombstones = {stone.ksid: stone for stone in self.store.tombstones()}
        self.lost = {stone.ksid for stone in self.tombstones.values() if stone.kind == Kind.GONE}
        rows = {stream.row: stream for stream in self.streams.values() if stream.live}
        for user, id_, memory in self.store.callers():
            self.callers.restore((user, id_), memory, rows)

    def commit(self) -> None:
        """Make everything durable. What fails here is fatal: this object no longer says what the file says."""
        if self.broken is not None:
            raise self.broken
        callers = self.callers.changed
        if not (self.changed or self.moved or callers):
            return
        try:
            self.store.save(self.changed, self.moved, [(*c.who, c.pack()) for c in callers])
        except BaseException as error:
            self.broken = error
            raise
        self.changed.clear()
        self.moved.clear()
        callers.clear()

    def add(self, stream: Stream) -> None:
        """Enter a new stream, durably."""
        self.forget(stream.ksid)
        self.known.pop(stream.ksid, None)
        self.store.add(stream)
        self._index(stream)

    def bury(self, stream: Stream, kind: Kind, until: float, told: bool) -> Tombstone:
        """Put a tombstone in a stream's place, durably."""
        stone = Tombstone(stream.ksid, stream.oid, stream.peer, stream.app, kind, until, told)
        self._drop(stream)
        self.store.bury(stream.row, stone)
        self.tombstones[stream.ksid] = stone
        if kind == Kind.GONE:
            self.lost.add(stream.ksid)
        return stone

    def remove(self, stream: Stream) -> None:
        """Take a stream away without a trace, durably."""
        self._drop(stream)
        self.store.remove(stream.row)

    def _drop(self, stream: Stream) -> None:
        self.changed.pop(stream, None)
        self.moved.pop(stream, None)
        self.commit()
        self.past_delivered += stream.delivered - stream.delivered_before
        self.past_expired += stream.expired - stream.expired_before
        del self.streams[stream.ksid], self.by_oid[stream.oid]
        self.by_opener.pop(stream.opened_by, None)

    def forget(self, ksid: bytes) -> None:
        """Take a tombstone away."""
        self.lost.discard(ksid)
        if self.tombstones.pop(ksid, None) is not None:
            self.store.forget(ksid)

    def learn(self, ksid: bytes, known: Known) -> None:
        """Note a stream that a neighbour announced. The oldest are dropped when there are too many."""
        self.known.pop(ksid, None)
        self.known[ksid] = known
        while len(self.known) > MOST_KNOWN:
            del self.known[next(iter(self.known))]

    @property
    def delivered(self) -> int:
        """Keys delivered since the start."""
        return self.past_delivered + sum(s.delivered - s.delivered_before for s in self.streams.values())

    @property
    def expired(self) -> int:
        """Keys that nobody fetched in time, since the start."""
        return self.past_expired + sum(s.expired - s.expired_before for s in self.streams.values())

    def live(self, ksid: bytes) -> Stream | None:
        """Return the stream that an application here holds under this KSID."""
        stream = self.streams.get(ksid)
        return stream if stream is not None and stream.live else None

    def held_by(self, app: str) -> int:
        """Return how many streams an application has, with those of which something is still known."""
        live = sum(stream.app == app for stream in self.streams.values())
        return live + sum(stone.app == app for stone in self.tombstones.values())

    def refused(self, ksid: bytes) -> bool:
        """Whether the KSID is being closed, or was closed less than the grace ago (ruling C8)."""
        stream = self.streams.get(ksid)
        if stream is not None:
            return not stream.live
        stone = self.tombstones.get(ksid)
        return stone is not None and stone.kind != Kind.GONE and stone.until > self.clock()

    def _index(self, stream: Stream) -> None:
        self.streams[stream.ksid] = stream
        self.by_oid[stream.oid] = stream
        if stream.opened_by and stream.state != State.CLOSING:
            self.by_opener[stream.opened_by] = stream
