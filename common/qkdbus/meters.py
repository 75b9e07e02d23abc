"""What is measured on the way: counts by bucket, so cheap that the hot path does not notice."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # upper bounds of buckets


class Histogram:
    """How often a value fell where.

    Attributes:
        bounds: upper bounds of the buckets, in order; one more bucket is above them all.
        counts: per bucket, not summed up; one longer than `bounds`.
        total: of all values.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, or so many of it."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times
