"""Which exchanges take too long: held against former ones of their link, and against those that other workers do.

Pure: times come in by the door. An exchange is compared with others on the same link that were asked for about as many
bits (within a factor of two). It is late when

- later ones have overtaken it on other workers, `OVERTAKEN` of them, and it is older than `AGAINST_OTHERS` times the
  slowest of those; or
- it is older than `AGAINST_FORMER` times the slowest of the last ones, wherever they ran.

How old a late one became counts as a former one: where everything has become slow, everything may be.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

REMEMBERED = 16  # exchanges of a kind
FORMER = 3  # that are needed to judge by
AGAINST_FORMER = 5.0
LEAST_FORMER = 3.0  # s below which nothing is late by comparison with former ones
OVERTAKEN = 3
AGAINST_OTHERS = 4.0
LEAST_OTHERS = 0.75  # s, likewise, by comparison with others

Kind = tuple[str, int]  # link, magnitude of the bits


@dataclass(slots=True)
class _Run:
    """An exchange under way. `overtaken` by so many on other workers, the slowest of which took `slowest` s."""

    kind: Kind
    worker: int
    since: float
    overtaken: int = 0
    slowest: float = 0.0


@dataclass(slots=True)
class Pace:
    """How long exchanges take. `name` is a job's."""

    _running: dict[bytes, _Run] = field(default_factory=dict)
    _former: dict[Kind, deque[float]] = field(default_factory=dict)

    def begun(self, name: bytes, peer: str, bits: int, worker: int, now: float) -> None:
        """An exchange begins on a worker."""
        self._running[name] = _Run((peer, bits.bit_length()), worker, now)

    def ended(self, name: bytes, now: float, *, well: bool) -> None:
        """It has ended; `well`: with a block."""
        run = self._running.pop(name, None)
        if run is None or not well:
            return
        took = now - run.since
        self._note(run.kind, took)
        for other in self._running.values():
            if other.kind == run.kind and other.worker != run.worker and other.since < run.since:
                other.overtaken += 1
                other.slowest = max(other.slowest, took)

    def late(self, now: float) -> list[bytes]:
        """Return the exchanges that take too long by now; each is to be ended."""
        return [name for name, run in self._running.items() if now - run.since > self._limit(run)]

    def given_up(self, name: bytes, now: float) -> None:
        """One that was late is taken away from its worker."""
        run = self._running.pop(name, None)
        if run is not None:
            self._note(run.kind, now - run.since)

    def typical(self, peer: str) -> float:
        """Return the median of what exchanges of a link took of late, in s; 0.0 before the first."""
        took = [seconds for (link, _), former in self._former.items() if link == peer for seconds in former]
        return statistics.median(took) if took else 0.0

    def _note(self, kind: Kind, seconds: float) -> None:
        self._former.setdefault(kind, deque(maxlen=REMEMBERED)).append(seconds)

    def _limit(self, run: _Run) -> float:
        limit = float("inf")
        former = self._former.get(run.kind, ())
        if len(former) >= FORMER:
            limit = max(LEAST_FORMER, AGAINST_FORMER * max(former))
        if run.overtaken >= OVERTAKEN:
            limit = min(limit, max(LEAST_OTHERS, AGAINST_OTHERS * run.slowest))
        return limit
