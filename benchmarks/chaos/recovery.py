"""How long it takes until keys come again: from a fault's end to the next key at both ends of each stream it concerns.

Two times: to the first key at all, which may have been agreed before, and to one that was surely not agreed yet when
the fault ended, as it is further on than a stream may be ahead. Faults overlap, so each time has others' in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from .check import Delivery
from .schedule import Fault
from .striking import Struck, concerned


@dataclass(frozen=True)
class Flow:
    """What came at both ends of a stream. `ahead`: keys that may be agreed and not yet fetched by the slower end."""

    ends: tuple[str, str]
    ahead: int
    deliveries: tuple[Sequence[Delivery], Sequence[Delivery]]


@dataclass(frozen=True)
class Recovery:
    """What came after one fault, in s; None where the records end before."""

    fault: Fault
    any_key: float | None
    fresh_key: float | None


@dataclass(frozen=True)
class Row:
    """All faults of one kind."""

    kind: str
    count: int
    any_key: tuple[float, float]  # median, max
    fresh_key: tuple[float, float]
    never: int  # after which nothing fresh was seen


class _End:
    """The deliveries of one end, to be searched by time."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        ordered = sorted(deliveries, key=lambda got: got.at)
        self.times = [got.at for got in ordered]
        self.indices = [got.index for got in ordered]
        self.highest: list[int] = []  # until then
        for index in self.indices:
            self.highest.append(max(index, self.highest[-1] if self.highest else -1))

    def next_index(self, at: float) -> int:
        """Return the index after the highest that had come by then."""
        place = bisect_right(self.times, at)
        return self.highest[place - 1] + 1 if place else 0

    def first(self, after: float, index: int = 0) -> float | None:
        """Return when the first key came after that time, of those from `index` on."""
        for place in range(bisect_right(self.times, after), len(self.times)):
            if self.indices[place] >= index:
                return self.times[place]
        return None


def recoveries(struck: Sequence[Struck], flows: Sequence[Flow]) -> list[Recovery]:
    """Return what came after each fault that landed."""
    ends = [(flow, (_End(flow.deliveries[0]), _End(flow.deliveries[1]))) for flow in flows]
    found = []
    for hit in struck:
        if hit.landed:
            felt = [(flow, pair) for flow, pair in ends if concerned(hit.fault, flow.ends)]
            any_key = _latest(hit.ended, (end.first(hit.ended) for _, pair in felt for end in pair))
            found.append(Recovery(hit.fault, any_key, _latest(hit.ended, _fresh(hit.ended, felt))))
    return found


def table(found: Sequence[Recovery]) -> list[Row]:
    """Return the times of each kind."""
    rows = []
    for kind in sorted({recovery.fault.kind for recovery in found}):
        same = [recovery for recovery in found if recovery.fault.kind == kind]
        any_key = [recovery.any_key for recovery in same if recovery.any_key is not None]
        fresh = [recovery.fresh_key for recovery in same if recovery.fresh_key is not None]
        rows.append(Row(kind, len(same), _spread(any_key), _spread(fresh), len(same) - len(fresh)))
    return rows


def _fresh(at: float, felt: Sequence[tuple[Flow, tuple[_End, _End]]]) -> Iterator[float | None]:
    for flow, pair in felt:
        index = min(end.next_index(at) for end in pair) + flow.ahead
        yield from (end.first(at, index) for end in pair)


def _latest(since: float, times: Iterator[float | None]) -> float | None:
    latest = 0.0
    for time in times:
        if time is None:
            return None
        latest = max(latest, time - since)
    return latest


def _spread(times: Sequence[float]) -> tuple[float, float]:
    return (median(times), max(times)) if times else (0.0, 0.0)
