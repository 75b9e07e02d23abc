"""One small keysync for both ends of a link, in memory: it forms chunks when it is told to.

No socket in here: `serve` puts an end up in a room; tests ask the objects themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from ...contracts.call import Call
from ...contracts.keysync import ALARM, AVAILABLE, CLEAR, CONTRACT
from ...errors import Refused
from ...runtime import Room
from ...wire import keysync_pb2 as ks
from ...wire.record_pb2 import BlockRecord

Publish = Callable[..., None]


@dataclass
class Chunk:
    """Key bits of one index, SECRET, and since when they are there (Unix time, s)."""

    bits: bytes = field(repr=False)
    available_at: float


@dataclass
class Open:
    """One end's `open` row, with its chunks."""

    ksid: bytes
    peer: str
    chunk_size: int
    ttl: int
    sid: bytes = b""
    chunks: dict[int, Chunk] = field(default_factory=dict)
    floor: int = 0
    wiped: set[int] = field(default_factory=set)
    draining: bool = False


@dataclass
class Pair:
    """A stream that both ends have opened. `ends`: the oid at each."""

    sid: ks.Sid
    ends: dict[str, bytes]
    next_index: int = 0


class Link:
    """What the two keysyncs of a link agree on. `clock`: Unix time, s."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.pairs: dict[bytes, Pair] = {}
        self.sides: dict[str, KeySync] = {}
        self.seq = 0
        self.record = BlockRecord(
            block_id=b"B" * 16,
            created=3000,
            sifted_out=2000,
            disclosed=100,
            kept=900,
            length=720,
            qber=0.01,
            duration=0.5,
        )

    def match(self, ksid: bytes) -> None:
        """Pair the open rows of a KSID."""
        rows = {n: (oid, o) for n, s in self.sides.items() for oid, o in s.opens.items() if o.ksid == ksid}
        if len(rows) < 2 or any(o.sid for _, o in rows.values()):
            return
        if len({o.chunk_size for _, o in rows.values()}) > 1:
            return
        self.seq += 1
        sid = ks.Sid(epoch=ks.Epoch(n=1, r=7), seq=self.seq)
        for _, row in rows.values():
            row.sid = sid.SerializeToString()
        self.pairs[ksid] = Pair(sid, {name: oid for name, (oid, _) in rows.items()})

    def form(self, ksid: bytes, count: int, *, silently: bool = False) -> list[bytes]:
        """Form `count` chunks at both ends; return their bits. `silently`: nobody is told."""
        pair, made = self.pairs[ksid], []
        rows = [self.sides[name].opens.get(oid) for name, oid in pair.ends.items()]
        size = next(row.chunk_size for row in rows if row)
        for index in range(pair.next_index, pair.next_index + count):
            bits = os.urandom(size)
            made.append(bits)
            for row in rows:
                if row is not None:
                    row.chunks[index] = Chunk(bits, self.clock())
        pair.next_index += count
        if not silently:
            self.tell(pair)
        return made

    def tell(self, pair: Pair) -> None:
        """Tell both key managers that a `take` says something new."""
        for name, oid in pair.ends.items():
            self.sides[name].publish(AVAILABLE, oid=oid.hex())

    def lose(self) -> list[Pair]:
        """Begin a new epoch: every paired stream is lost. Return those."""
        lost = list(self.pairs.values())
        self.pairs.clear()
        for side in self.sides.values():
            side.opens = {oid: row for oid, row in side.opens.items() if not row.sid}
        return lost


class KeySync:
    """One end's keysync: keeps the contract.

    Attributes:
        refuse: why `open_stream` is refused; "" when it is not.
        state, alarm: of the link, as `link_status` says.
        takes: all that were asked, in order.
    """

    def __init__(self, link: Link, name: str, publish: Publish = lambda event, **fields: None) -> None:
        self.link, self.name, self.publish = link, name, publish
        link.sides[name] = self
        self.opens: dict[bytes, Open] = {}
        self.refuse = ""
        self.state, self.alarm = "up", ""
        self.takes: list[ks.Take] = []

    def alarmed(self, reason: str) -> None:
        """Raise an alarm on the link."""
        self.state, self.alarm = "alarm", reason
        self.publish(ALARM, reason=reason)

    def cleared(self) -> None:
        """End the alarm."""
        self.state, self.alarm = "up", ""
        self.publish(CLEAR)

    def open_stream(self, request: ks.OpenStream, call: Call) -> ks.StreamOpened:
        """Take an association on."""
        if self.refuse:
            raise Refused(self.refuse)
        if request.oid not in self.opens:
            self.opens[request.oid] = Open(request.ksid, request.peer, request.chunk_size, request.ttl)
            self.link.match(request.ksid)
        return ks.StreamOpened()

    def take(self, request: ks.Take, call: Call) -> ks.Taken:
        """Wipe what is acknowledged, answer what is there."""
        self.takes.append(request)
        row = self.opens.get(request.oid)
        if row is None:
            return ks.Taken(state=ks.GONE)
        if not row.sid:
            return ks.Taken(state=ks.WAITING)
        done = acknowledged(request)
        for index in done & set(row.chunks):
            del row.chunks[index]
        row.wiped |= done
        self._expire(row)
        pair = self.link.pairs[row.ksid]
        taken = ks.Taken(sid=pair.sid, floor=row.floor, next_index=pair.next_index)
        taken.state = ks.DRAINING if row.draining else ks.OPEN
        left = request.max_bytes // row.chunk_size
        runs: list[tuple[int, list[Chunk]]] = []
        for index in sorted(i for i in row.chunks if i >= request.after)[:left]:
            chunk, (first, last) = row.chunks[index], runs[-1] if runs else (0, [])
            if last and first + len(last) == index and last[0].available_at == chunk.available_at:
                last.append(chunk)
            else:
                runs.append((index, [chunk]))
        taken.runs.extend(self._run(first, chunks) for first, chunks in runs)
        return taken

    def _run(self, first: int, chunks: list[Chunk]) -> ks.ChunkRun:
        bits, at = b"".join(chunk.bits for chunk in chunks), chunks[0].available_at
        return ks.ChunkRun(first=first, count=len(chunks), bits=bits, available_at=at, record=self.link.record)

    def _expire(self, row: Open) -> None:
        if row.ttl:
            now = self.link.clock()
            for index in [i for i, c in row.chunks.items() if c.available_at + row.ttl <= now]:
                del row.chunks[index]
                row.floor = max(row.floor, index + 1)

    def close_stream(self, request: ks.CloseStream, call: Call) -> ks.StreamClosed:
        """End an association: the other end drains."""
        row = self.opens.pop(request.oid, None)
        if row is not None and row.sid:
            pair = self.link.pairs[row.ksid]
            del pair.ends[self.name]
            for name, oid in pair.ends.items():
                self.link.sides[name].opens[oid].draining = True
            if not pair.ends:
                del self.link.pairs[row.ksid]
                self.link.match(row.ksid)
        return ks.StreamClosed()

    def list_opens(self, request: ks.ListOpens, call: Call) -> ks.Opens:
        """Name all associations."""
        return ks.Opens(oids=list(self.opens))

    def link_status(self, request: ks.LinkStatusAsked, call: Call) -> ks.Links:
        """Say how the link is."""
        others = [name for name in self.link.sides if name != self.name]
        return ks.Links(links=[ks.LinkStatus(peer=name, state=self.state, alarm=self.alarm) for name in others])


def acknowledged(request: ks.Take) -> set[int]:
    """Return the indices that a `take` says are done with. Refused when it says so of too many to be true."""
    pairs = list(zip(request.done[::2], request.done[1::2], strict=True))
    if max([request.low, *(count for _, count in pairs)]) > 1 << 20:
        raise Refused("more indices than there ever were")
    return set(range(request.low)).union(*(range(first, first + count) for first, count in pairs))


def serve(room: Room, link: Link) -> KeySync:
    """Put one end up in a room of its own."""
    keysync = KeySync(link, room.settings.name, room.publish)
    room.serve(room.settings.ipc("keysync"), CONTRACT, keysync)
    return keysync
