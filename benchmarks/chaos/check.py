"""What must hold, held against what the applications at both ends of each stream have recorded. No network in sight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["different", "twice", "reused", "missing", "too old", "lost", "dead"]
Name = tuple[str, int]  # stream, index
MARGIN = 0.5  # s that the age of a key may be off: two clocks read one after the other


@dataclass(frozen=True, slots=True)
class Delivery:
    """One key that an application was given.

    Attributes:
        key, parts: digests (see fingerprints.py).
        at: when the answer was there, monotonic s.
        call: number of the call that it answered.
        age: what its metadata said, s; None when there was none.
    """

    index: int
    key: bytes
    parts: tuple[bytes, ...] = ()
    at: float = 0.0
    call: int = 0
    age: float | None = None


@dataclass
class End:
    """One end of a stream, as its application and (for the counts) its key manager saw it.

    Attributes:
        deliveries: in the order in which they came.
        unanswered: keys that calls without an answer may have taken with them, at most.
        expired: keys that the key manager wiped because their time was over.
        until: the index that the application was told to read up to at the end; all below must be accounted for.
        trouble: why it could not go on; "" when it could.
    """

    node: str
    deliveries: list[Delivery] = field(default_factory=list)
    unanswered: int = 0
    expired: int = 0
    until: int = 0
    trouble: str = ""

    def skipped(self) -> list[int]:
        """Return the indices that never came."""
        had = {delivery.index for delivery in self.deliveries}
        return [index for index in range(max(self.until, max(had, default=-1) + 1)) if index not in had]


@dataclass
class Stream:
    """A key stream with its two ends. `ttl` in s; 0 for so long that no key may expire within the run."""

    name: str
    ends: tuple[End, End]
    ttl: float = 0.0


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be."""

    kind: Kind
    text: str


def violations(streams: Sequence[Stream]) -> list[Violation]:
    """Return all that is wrong; nothing, one hopes."""
    found = [*_reused(streams)]
    for stream in streams:
        found += [*_different(stream)]
        for end in stream.ends:
            found += [*_twice(stream, end), *_missing(stream, end), *_too_old(stream, end)]
            if end.trouble:
                found.append(Violation("lost", f"{stream.name} at {end.node}: {end.trouble}"))
    return found


def _different(stream: Stream) -> Iterator[Violation]:
    """One index, one key: at both ends, and at one."""
    keys: dict[int, tuple[bytes, str]] = {}
    for end in stream.ends:
        for got in end.deliveries:
            key, node = keys.setdefault(got.index, (got.key, end.node))
            if key != got.key:
                yield Violation("different", f"{stream.name}: index {got.index} has two keys ({node}, {end.node})")


def _twice(stream: Stream, end: End) -> Iterator[Violation]:
    """No index is delivered again at the same end."""
    calls: dict[int, int] = {}
    for got in end.deliveries:
        if got.index in calls:
            text = f"{stream.name} at {end.node}: index {got.index} came in calls {calls[got.index]} and {got.call}"
            yield Violation("twice", text)
        calls[got.index] = got.call


def _reused(streams: Sequence[Stream]) -> Iterator[Violation]:
    """No bits stand under two indices, or in two streams."""
    seen: dict[bytes, Name] = {}
    told: set[tuple[Name, Name]] = set()
    for stream in streams:
        for end in stream.ends:
            for got in end.deliveries:
                name = (stream.name, got.index)
                for digest in (got.key, *got.parts):
                    other = seen.setdefault(digest, name)
                    if other != name and (other, name) not in told:
                        told.add((other, name))
                        yield Violation("reused", f"bits of {_said(other)} are in {_said(name)} too")


def _missing(stream: Stream, end: End) -> Iterator[Violation]:
    """What was agreed was delivered here, or its time was over; a call without an answer may have had a key."""
    skipped = end.skipped()
    if end.expired and not stream.ttl:
        yield Violation("missing", f"{stream.name} at {end.node}: {end.expired} keys expired long before their time")
    allowed = (end.expired if stream.ttl else 0) + end.unanswered
    if len(skipped) > allowed:
        some = ", ".join(map(str, skipped[:5]))
        text = (
            f"{stream.name} at {end.node}: {len(skipped)} keys never came ({some} ...), {allowed} of them for a reason"
        )
        yield Violation("missing", text)


def _too_old(stream: Stream, end: End) -> Iterator[Violation]:
    """No key is given out when its time to live is over."""
    for got in end.deliveries:
        if got.age is not None and (got.age < 0 or (stream.ttl and got.age > stream.ttl + MARGIN)):
            text = f"{stream.name} at {end.node}: index {got.index} was {got.age:.1f} s old, of {stream.ttl:g} s"
            yield Violation("too old", text)


def _said(name: Name) -> str:
    return f"{name[0]} index {name[1]}"
