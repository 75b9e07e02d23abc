"""A state of the world as a value: both ends, the messages under way, the key managers, what was delivered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keysync.rows import Epoch

from .lab import CHUNK, Sid

Named = tuple[Sid, int, bytes]  # (sid, index, bits)


class Reader(NamedTuple):
    """A key manager's association. Its store survives everything here."""

    ksid: bytes
    oid: bytes
    sid: Sid | None = None
    low: int = 0
    done: tuple[int, ...] = ()

    def has(self, index: int) -> bool:
        """Tell whether an index is delivered or expired."""
        return index < self.low or index in self.done

    def with_index(self, index: int) -> Reader:
        """Add an index."""
        done = set(self.done) | {index}
        low = self.low
        while low in done:
            done.remove(low)
            low += 1
        return self._replace(low=low, done=tuple(sorted(done)))


class Hand(NamedTuple):
    """A block that an exchange has formed and keysync does not have yet."""

    side: int
    epoch: Epoch
    job: int
    number: int


@dataclass(frozen=True)
class State:
    """The whole world, as a value. `budget`: how often what may still happen."""

    ends: tuple[int, int]
    post: frozenset[tuple[int, bytes]] = frozenset()
    hands: frozenset[Hand] = frozenset()
    readers: tuple[tuple[Reader, ...], tuple[Reader, ...]] = ((), ())
    truth: frozenset[Named] = frozenset()
    delivered: tuple[frozenset[Named], frozenset[Named]] = (frozenset(), frozenset())
    fresh: int = 1
    runs: int = 0
    budget: tuple[tuple[str, int], ...] = ()
    lost_in: frozenset[Epoch] = frozenset()  # epochs that both ends were in when one of them lost its store
    lost_by: frozenset[int] = frozenset()
    put_back: tuple[int, ...] = ()  # whose store was put back: some checks wait until all is at rest


Action = tuple[Any, ...]


def keys_of(taken: wire.Taken) -> Iterator[tuple[int, bytes]]:
    for run in taken.runs:
        for n in range(run.count):
            yield run.first + n, run.bits[n * CHUNK : (n + 1) * CHUNK]
