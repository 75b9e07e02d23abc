"""Were key bits used twice? Looked for bit by bit, since a fault need not fall on whole octets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

WINDOW = 64  # bits: that two stretches of so many are equal by chance does not happen
_MASK = (1 << WINDOW) - 1


def windows(key: bytes) -> Iterator[int]:
    """Go through all stretches of 64 bits; the first bit is the lowest of the first octet."""
    value = int.from_bytes(key, "little")
    for start in range(8 * len(key) - WINDOW + 1):
        yield value >> start & _MASK


def used_twice(keys: Iterable[bytes]) -> int:
    """Return how many keys have bits that an earlier one has, too (or twice themselves)."""
    seen: set[int] = set()
    found = 0
    for key in keys:
        twice = False
        for window in windows(key):
            twice |= window in seen
            seen.add(window)
        found += twice
    return found


def taken_from(keys: Iterable[bytes], blocks: Iterable[bytes]) -> int:
    """Return how many keys have bits of these blocks."""
    seen = {window for block in blocks for window in windows(block)}
    return sum(any(window in seen for window in windows(key)) for key in keys)
