"""Hand chunks up and wipe what is delivered, expired or closed (agreement, sections 5.5 and 5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from qkdbus.wire import keysync_pb2 as wire
from qkdbus.wire.record_pb2 import BlockRecord

from .material import Material
from .rows import ChunkRow, OpenRow, StreamRow
from .tables import Tables

Range = tuple[int, int]  # first, end


class Delivery:
    """Chunks of one link. `partly` holds acknowledged ranges that cover rows in part, until the next sweep."""

    def __init__(self, tables: Tables, material: Material) -> None:
        self._tables = tables
        self._material = material
        self.partly: dict[int, list[Range]] = {}

    def acknowledge(self, row: OpenRow, low: int, done: Iterable[int]) -> tuple[OpenRow, list[Range]]:
        """Wipe the rows that are wholly acknowledged; return the row with its low mark, and the ranges."""
        assert row.sid is not None
        ranges = merge(low, done)
        partly = False
        for first, end in ranges:
            for chunk in self._material.chunks(row.sid, first, end):
                if first <= chunk.first and chunk.first + chunk.count <= end:
                    self._material.wipe_chunks(chunk.id)
                else:
                    partly = True
        if partly:
            self.partly[row.sid] = ranges
        else:
            self.partly.pop(row.sid, None)
        if low > row.low:
            row = row._replace(low=low)
            self._tables.save_open(row)
        return row, ranges

    def answer(self, taken: wire.Taken, row: OpenRow, acknowledged: list[Range], after: int, budget: int) -> None:
        """Add the available chunks from `after` on that were never acknowledged, `budget` octets of them."""
        assert row.sid is not None
        left = budget // row.chunk_size or (1 if budget else 0)
        if not left:
            return
        start = max(row.floor, row.low, after)
        for chunk in self._material.chunks(row.sid, start):
            blob = b""
            for first, end in remaining(chunk.first, chunk.first + chunk.count, acknowledged, start):
                blob = blob or self._material.bits(chunk.id)
                count = min(end - first, left)
                taken.runs.append(_run(chunk, first, count, blob))
                left -= count
                if not left:
                    return

    def available_to(self, stream: StreamRow | None, row: OpenRow) -> int:
        """Return the first index that is not available yet."""
        assert row.sid is not None
        waiting = self._material.first_waiting(row.sid)
        if waiting is not None:
            return waiting
        if stream is not None:
            return stream.next_index
        # Closed for both ends, though this one never asked for it: what is here is the last that will ever be.
        ends = [chunk.first + chunk.count for chunk in self._material.chunks(row.sid, row.low)]
        return max(ends, default=row.low)

    def sweep(self) -> None:
        """Rewrite the rows that are acknowledged in part: delivered bits must not stay (I6)."""
        for sid, ranges in self.partly.items():
            for first, end in ranges:
                for chunk in self._material.chunks(sid, first, end):
                    self._trim(chunk, ranges)
        self.partly.clear()

    def _trim(self, chunk: ChunkRow, ranges: list[Range]) -> None:
        blob = self._material.bits(chunk.id)
        self._material.wipe_chunks(chunk.id)
        for first, end in remaining(chunk.first, chunk.first + chunk.count, ranges, 0):
            offset = (first - chunk.first) * chunk.size
            part = blob[offset : offset + (end - first) * chunk.size]
            self._material.add_chunks(replace(chunk, first=first, count=end - first), part)

    def expire(self, now: float) -> list[bytes]:
        """Wipe what is past its time, in index order; return the oids of the streams."""
        told = []
        for sid, end in self._material.expired(now):
            row = self._tables.open_at(sid)
            for chunk in self._material.chunks(sid, 0, end):
                self._material.wipe_chunks(chunk.id)
            if row is not None and end > row.floor:
                self._tables.save_open(row._replace(floor=end))
                told.append(row.oid)
        return told

    def wipe_stream(self, sid: int) -> None:
        """Wipe all that a closed association holds."""
        self._material.wipe_stream(sid)
        self.partly.pop(sid, None)


def merge(low: int, done: Iterable[int]) -> list[Range]:
    """Merge 0..low and pairs (first, count) into ranges in order."""
    numbers = list(done)
    pairs = sorted((first, first + count) for first, count in zip(numbers[::2], numbers[1::2], strict=False))
    ranges: list[Range] = [(0, low)] if low else []
    for first, end in pairs:
        if end <= first:
            continue
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], end))
        else:
            ranges.append((first, end))
    return ranges


def remaining(first: int, end: int, ranges: list[Range], start: int) -> Iterator[Range]:
    """Go through the parts of first..end from `start` on that no range covers."""
    first = max(first, start)
    for covered, covered_end in ranges:
        if covered_end <= first:
            continue
        if covered >= end:
            break
        if first < covered:
            yield first, covered
        first = covered_end
    if first < end:
        yield first, end


def _run(chunk: ChunkRow, first: int, count: int, blob: bytes) -> wire.ChunkRun:
    offset = (first - chunk.first) * chunk.size
    return wire.ChunkRun(
        first=first,
        count=count,
        bits=blob[offset : offset + count * chunk.size],
        available_at=chunk.available_at,
        record=BlockRecord.FromString(chunk.record),
    )
