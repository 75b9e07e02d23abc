"""Apply ledger entries: the same code at both ends, a function of the ledger's prefix (agreement, section 4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from qkdbus.wire import keysync_pb2 as wire

from . import bits
from .entries import LostState
from .material import ROW_OCTETS, Material
from .rows import ChunkRow, Epoch, LinkRow, OpenRow, Piece, StoredPiece, StreamRow
from .tables import Tables


class Replay:
    """Applies entries to the tables of one end. `at_once`: chunks are available on apply (the follower)."""

    def __init__(self, tables: Tables, material: Material, *, at_once: bool) -> None:
        self._tables = tables
        self._material = material
        self._at_once = at_once

    def apply(self, link: LinkRow, seq: int, entry: wire.Entry, now: float) -> set[bytes]:
        """Apply entry `seq`; return the local oids whose `take` will say something new.

        Raises:
            LostState: the entry does not fit; the caller has to give the epoch up (part may be applied).
        """
        kind = entry.WhichOneof("kind")
        if kind == "open":
            return self._open(link, seq, entry.open)
        if kind == "close":
            return self._close(link.epoch, entry.close)
        return self._alloc(link, seq, entry.alloc, now)

    def _open(self, link: LinkRow, seq: int, opened: wire.OpenEntry) -> set[bytes]:
        if _sid(link.epoch, opened.sid) != seq:
            raise LostState("stream under a foreign name")
        self._tables.save_stream(
            StreamRow(seq, opened.ksid, opened.oid_a, opened.oid_f, opened.chunk_size, False, False, 0)
        )
        row = self._tables.open(opened.oid_a if link.arbiter else opened.oid_f)
        if row is None or row.sid is not None:
            return set()
        if (row.ksid, row.chunk_size) != (opened.ksid, opened.chunk_size):
            raise LostState("an association that asked for something else")
        self._tables.save_open(row._replace(sid=seq))
        return {row.oid}

    def _close(self, epoch: Epoch, closed: wire.CloseEntry) -> set[bytes]:
        stream = self._tables.stream(_sid(epoch, closed.sid))
        if stream is None:
            raise LostState("close of an unknown stream")
        closed_a = stream.closed_a or not closed.follower
        self._tables.save_stream(stream._replace(closed_a=closed_a, closed_f=stream.closed_f or closed.follower))
        row = self._tables.open_at(stream.sid)
        return set() if row is None else {row.oid}

    def _alloc(self, link: LinkRow, seq: int, alloc: wire.AllocEntry, now: float) -> set[bytes]:
        pool = self._take_pool(link, alloc, now)
        used = 8 * sum(cut.count * cut.bytes for cut in alloc.cuts)
        if used > sum(stored.piece.length for stored in pool):
            raise LostState("more cut than there is")
        self._refill(link, pool, used, alloc.rest)
        front = memoryview(bits.join((stored.bits, stored.piece.length) for stored in _front(pool, used)))
        records = _Records(pool)
        told: set[bytes] = set()
        start = 0
        for cut in alloc.cuts:
            row = self._extend(link.epoch, cut)
            if row is not None:
                self._store_cut(row, cut, seq, front[start : start + cut.count * cut.bytes], records, start, now)
                told |= {row.oid} if self._at_once else set()
            start += cut.count * cut.bytes
        return told

    def _take_pool(self, link: LinkRow, alloc: wire.AllocEntry, now: float) -> list[StoredPiece]:
        pool = []
        block = self._material.block_name(alloc.job) if alloc.job else None
        if alloc.job and (block is None or block[0] != alloc.run):
            raise LostState("block missing")
        for named in alloc.pieces:
            piece = Piece(named.run, named.offset, named.length)
            if block is not None and piece == (block[0], 0, block[1]):
                stored = self._material.take_block(alloc.job, now)
            else:
                stored = self._material.take_piece(piece)
                link.reservoir_bits -= piece.length
            if stored is None:
                raise LostState("piece missing")
            pool.append(stored)
        if block is not None and self._material.block_name(alloc.job) is not None:
            raise LostState("block not in its own pool")
        return pool

    def _refill(self, link: LinkRow, pool: Sequence[StoredPiece], used: int, rest: Sequence[wire.Piece]) -> None:
        places: dict[bytes, list[tuple[int, StoredPiece]]] = {}  # run -> where its pieces are in the pool
        position = 0
        for stored in pool:
            places.setdefault(stored.piece.run, []).append((position, stored))
            position += stored.piece.length
        free = used  # before it everything is cut, or named already
        for named in rest:
            found = _place(places, named, free)
            if found is None:
                raise LostState("rest that is not left")
            position, stored = found
            offset = named.offset - stored.piece.offset
            free = position + offset + named.length
            left = bits.cut(stored.bits, offset, named.length)
            piece = Piece(named.run, named.offset, named.length)
            self._material.add_piece(StoredPiece(piece, stored.record, stored.since, left))
            link.reservoir_bits += named.length

    def _extend(self, epoch: Epoch, cut: wire.Cut) -> OpenRow | None:
        """Count the cut in its stream; return who reads it here, None when nobody does any more."""
        stream = self._tables.stream(_sid(epoch, cut.sid))
        if stream is None or stream.next_index != cut.first or stream.chunk_size != cut.bytes or not cut.bytes:
            raise LostState("cut that does not follow")
        self._tables.save_stream(stream._replace(next_index=cut.first + cut.count))
        return self._tables.open_at(stream.sid)

    def _store_cut(
        self,
        row: OpenRow,
        cut: wire.Cut,
        seq: int,
        front: memoryview,
        records: _Records,
        start: int,
        now: float,
    ) -> None:
        """Store a cut's chunks in rows of one record each and of a bounded size."""
        available = now if self._at_once else None
        expires = now + row.ttl if self._at_once and row.ttl else None
        most = max(1, ROW_OCTETS // cut.bytes)
        done = 0
        while done < cut.count:
            record, until = records.at(start + (done + 1) * cut.bytes)
            count = min(most, cut.count - done, max(1, (until - start) // cut.bytes - done))
            part = bytes(front[done * cut.bytes : (done + count) * cut.bytes])
            chunk = ChunkRow(0, cut.sid.seq, cut.first + done, count, cut.bytes, seq, available, expires, record)
            self._material.add_chunks(chunk, part)
            done += count


class _Records:
    """Which exchange formed the bits of a pool."""

    def __init__(self, pool: Sequence[StoredPiece]) -> None:
        self._ends = list(accumulate(stored.piece.length for stored in pool))
        self._records = [stored.record for stored in pool]

    def at(self, end: int) -> tuple[bytes, int]:
        """Return the record of the last bit before octet `end`, and the last octet end that shares it."""
        place = bisect_left(self._ends, 8 * end)
        return self._records[place], self._ends[place] // 8


def _place(
    places: Mapping[bytes, Sequence[tuple[int, StoredPiece]]], named: wire.Piece, free: int
) -> tuple[int, StoredPiece] | None:
    """Return the piece of the pool that has a piece in it, with its position, if that lies behind `free`."""
    for position, stored in places.get(named.run, ()):
        offset = named.offset - stored.piece.offset
        inside = offset >= 0 and 0 < named.length <= stored.piece.length - offset
        if inside and position + offset >= free:
            return position, stored
    return None


def _front(pool: Sequence[StoredPiece], used: int) -> Sequence[StoredPiece]:
    """Return the pieces that hold the first `used` bits."""
    for place, total in enumerate(accumulate((stored.piece.length for stored in pool), initial=0)):
        if total >= used:
            return pool[:place]
    return pool


def _sid(epoch: Epoch, sid: wire.Sid) -> int:
    if Epoch.of(sid.epoch) != epoch:
        raise LostState("stream of another epoch")
    return sid.seq
