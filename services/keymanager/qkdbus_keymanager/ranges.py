"""A set of indices that is dense from 0 but for a few exceptions: a low-water mark, and ranges above it."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Span = tuple[int, int]  # from, up to and not with


class Ranges:
    """Every index below `low`, and those of some ranges above it."""

    __slots__ = ("_ends", "_starts", "low")

    def __init__(self, low: int = 0, spans: Iterable[Span] = ()) -> None:
        self.low = low
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in spans:
            self.add(start, end - start)

    def add(self, first: int, count: int) -> int:
        """Add `count` indices from `first` on; return how many of them are new."""
        start, end = max(first, self.low), first + count
        if start >= end:
            return 0
        if start == self.low and not self._starts:
            self.low = end
            return end - start
        return self._merge(start, end)

    def _merge(self, start: int, end: int) -> int:
        starts, ends = self._starts, self._ends
        left, right = bisect_left(ends, start), bisect_right(starts, end)
        fresh = end - start
        for i in range(left, right):
            fresh -= max(0, min(ends[i], end) - max(starts[i], start))
        if left < right:
            start, end = min(start, starts[left]), max(end, ends[right - 1])
        starts[left:right] = [start]
        ends[left:right] = [end]
        if starts[0] <= self.low:
            self.low = ends[0]
            del starts[0], ends[0]
        return fresh

    def __contains__(self, index: int) -> bool:
        if index < self.low:
            return True
        i = bisect_right(self._starts, index) - 1
        return i >= 0 and index < self._ends[i]

    def above(self) -> Iterator[Span]:
        """Yield the ranges above `low`, in order."""
        return zip(self._starts, self._ends, strict=True)

    def gap_end(self, first: int, limit: int) -> int:
        """Return where the indices from `first` on that are not in the set stop, at most `limit`."""
        i = bisect_right(self._starts, first)
        return min(limit, self._starts[i]) if i < len(self._starts) else limit

    def missing(self, first: int, end: int) -> list[Span]:
        """Return the stretches of [first, end) that are not in the set."""
        at, stretches = max(first, self.low), []
        for i in range(bisect_right(self._ends, at), len(self._starts)):
            if self._starts[i] >= end:
                break
            if at < self._starts[i]:
                stretches.append((at, self._starts[i]))
            at = max(at, self._ends[i])
        if at < end:
            stretches.append((at, end))
        return stretches

    def without(self, held: Iterable[Span]) -> Ranges:
        """Return a copy less the stretches `held`."""
        less = Ranges()
        cuts = sorted(held)
        for start, end in [(0, self.low), *self.above()]:
            for kept_start, kept_end in subtract((start, end), cuts):
                less.add(kept_start, kept_end - kept_start)
        return less

    def pack(self) -> bytes:
        """Write the ranges above `low` as pairs of 64-bit numbers."""
        if not self._starts:
            return b""
        flat = [number for span in self.above() for number in span]
        return struct.pack(f"<{len(flat)}Q", *flat)

    @classmethod
    def unpack(cls, low: int, packed: bytes) -> Ranges:
        """Read what `pack` wrote."""
        flat = struct.unpack(f"<{len(packed) // 8}Q", packed)
        return cls(low, zip(flat[::2], flat[1::2], strict=True))


def subtract(span: Span, cuts: Iterable[Span]) -> Iterator[Span]:
    """Yield what is left of `span` without `cuts` (in order)."""
    at, end = span
    for start, stop in cuts:
        if stop <= at:
            continue
        if start >= end:
            break
        if at < start:
            yield at, start
        at = stop
    if at < end:
        yield at, end
