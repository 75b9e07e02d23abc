"""The world with key managers in it, as a value: also what applications wait for, and what they were given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..keysync.exploring.lab import Sid
from ..keysync.exploring.state import State


class Wish(NamedTuple):
    """A call that an application waits for: the next key, the key `at` an index, or `many` keys in a row."""

    number: int
    ksid: bytes
    at: int | None = None
    many: int = 0


class App(NamedTuple):
    """A caller object: numbers its calls, and repeats those that are not answered."""

    side: int
    caller: bytes
    next: int = 1
    waiting: tuple[Wish, ...] = ()

    @property
    def settled(self) -> int:
        """The number from which on it still waits."""
        return min((wish.number for wish in self.waiting), default=self.next)


class Asked(NamedTuple):
    """A call under way. It stays so while it waits at the key manager."""

    side: int
    caller: bytes
    settled: int
    wish: Wish


class Pull(NamedTuple):
    """A take under way: `taken` is its answer once keysync has heard it."""

    side: int
    oid: bytes
    request: bytes
    jump: bool
    taken: bytes | None = None


class Given(NamedTuple):
    """What was answered to a call."""

    side: int
    caller: bytes
    number: int
    sid: Sid
    first: int
    keys: tuple[bytes, ...]


@dataclass(frozen=True)
class Delivering(State):
    """The whole world.

    Attributes:
        late: takes that nobody waits for any more and that may still arrive, (side, request).
        over: what was given and has expired in the memory of a key manager.
    """

    keepers: tuple[int, int] = (0, 0)
    pulls: frozenset[Pull] = frozenset()
    late: frozenset[tuple[int, bytes]] = frozenset()
    calls: frozenset[Asked] = frozenset()
    apps: tuple[App, ...] = ()
    given: frozenset[Given] = frozenset()
    over: frozenset[Given] = frozenset()
