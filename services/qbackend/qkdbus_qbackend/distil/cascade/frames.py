"""Lanes: a block's octets as words, one word a place, one bit of it a lane; and bits taken out of words.

With 8, 16, 32 or 64 lanes the packed octets, read as little-endian words, are the lanes: nothing is moved.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...bits import octet_count

Octets = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]  # bit l of a word: lane l


def to_words(octets: Octets, count: int, lanes: int) -> Words:
    """Return the places of a block of `count` bits as new words, shape (places,); what fills up is 0."""
    octets = octets[: octet_count(count)]
    if lanes == 1:
        return np.unpackbits(octets, count=count, bitorder="little").astype(np.uint64) if count else _none(1)
    width, places = lanes // 8, max(1, -(-count // lanes))
    words = np.zeros(-(-places * width // 8), np.uint64)
    filled = words.view(np.uint8)[: places * width]
    filled[: len(octets)] = octets
    if count % 8:
        filled[len(octets) - 1] &= (1 << count % 8) - 1
    return words if lanes == 64 else filled.view(f"<u{width}").astype(np.uint64)


def to_octets(words: Words, count: int, lanes: int) -> Octets:
    """Return the block whose places are `words`, shape (ceil(count / 8),)."""
    packed = pack_lanes(words, lanes)
    return np.frombuffer(bytearray(packed[: octet_count(count)]), np.uint8)


def pack_lanes(words: Words, lanes: int) -> bytes:
    """Return `lanes` bits of each word, packed."""
    if lanes == 1:
        return np.packbits(words.astype(np.uint8), bitorder="little").tobytes()
    return words.astype(f"<u{lanes // 8}").tobytes()


def lane_octets(words: int, lanes: int) -> int:
    """Return how many octets `pack_lanes` makes of that many words."""
    return octet_count(words * lanes)


def unpack_lanes(said: bytes, words: int, lanes: int) -> Words:
    """Undo `pack_lanes`; `said` must be `lane_octets(words, lanes)` long."""
    if lanes == 1:
        return np.unpackbits(np.frombuffer(said, np.uint8), count=words, bitorder="little").astype(np.uint64)
    return np.frombuffer(said, f"<u{lanes // 8}").astype(np.uint64)


def flags(masks: Words, lanes: int) -> Flags:
    """Return the bits of `masks` one by one: shape (64 * masks,), or (masks,) where there is one lane."""
    if lanes == 1:
        return masks.astype(np.bool_)
    return np.unpackbits(masks.view(np.uint8), bitorder="little").view(np.bool_)


def select(values: Words, masks: Words, lanes: int) -> Bits:
    """Return those bits of `values` that are set in `masks`, word by word, lowest lane first."""
    chosen: Bits = flags(values, lanes)[flags(masks, lanes)].view(np.uint8)
    return chosen


def scatter(bits: Bits, masks: Words, lanes: int) -> Words:
    """Undo `select`: return words with `bits` where `masks` is set, and 0 elsewhere."""
    chosen = flags(masks, lanes)
    spread = np.zeros(chosen.size, np.uint8)
    spread[chosen] = bits
    return spread.astype(np.uint64) if lanes == 1 else np.packbits(spread, bitorder="little").view(np.uint64)


def total(masks: Words, lanes: int) -> int:
    """Return how many bits of `masks` are set."""
    return int(np.count_nonzero(flags(masks, lanes)))


def _none(words: int) -> Words:
    return np.zeros(words, np.uint64)
