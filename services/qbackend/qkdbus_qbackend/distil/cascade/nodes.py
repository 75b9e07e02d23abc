"""Searches as nodes of binary trees. Each pass has a tree over its positions; a block is the root of a part of it.

A node is a number: pass << 40 | size << 32 | first position, where size is log2 of the positions below it. A search
stands at a node that holds an odd number of errors, in the lanes of a mask; many lanes share one entry. To ask is to
have the source tell the parity of the node's left half; what differs says in which half the search goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ...failure import Broken
from .frames import Bits, Words

Nodes = npt.NDArray[np.int64]
PASS, SIZE = 40, 32  # shifts
STEP = np.int64(1 << SIZE)
MOST_AHEAD = 4  # levels that are asked at once, at most


class Front:
    """Where searches stand: `nodes` and `masks`, shape (entries,) each. A node may occur twice, in different lanes."""

    __slots__ = ("_sizes", "masks", "nodes")

    def __init__(self, nodes: Nodes, masks: Words, sizes: Nodes | None = None) -> None:
        self.nodes, self.masks, self._sizes = nodes, masks, sizes

    @property
    def sizes(self) -> Nodes:
        """Return log2 of how many positions are below each node."""
        if self._sizes is None:
            self._sizes = self.nodes >> SIZE & 0xFF
        return self._sizes

    @classmethod
    def empty(cls) -> Front:
        """Return no search."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.uint64))

    @classmethod
    def join(cls, parts: Sequence[Front]) -> Front:
        """Return all of them, in that order."""
        parts = [part for part in parts if len(part.nodes)]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        return cls(np.concatenate([part.nodes for part in parts]), np.concatenate([part.masks for part in parts]))

    def where(self, chosen: npt.NDArray[np.bool_]) -> Front:
        """Return the entries that are chosen."""
        return self if chosen.all() else Front(self.nodes[chosen], self.masks[chosen], self.sizes[chosen])


def first(nodes: Nodes) -> Nodes:
    """Return the first position below each node."""
    return nodes & 0xFFFFFFFF


def halves(front: Front, left: Words) -> Front:
    """Return both halves of each node, in turn; the lanes in `left` go left, the others right. Masks may be 0."""
    sizes = np.repeat(front.sizes - 1, 2)
    nodes = np.repeat(front.nodes - STEP, 2)
    nodes[1::2] += np.int64(1) << sizes[1::2]
    masks = np.empty(len(nodes), np.uint64)
    masks[0::2], masks[1::2] = left, front.masks & ~left
    return Front(nodes, masks, sizes)


def below(front: Front, left: Words, lanes: int) -> Front:
    """Return the halves that have lanes."""
    if lanes > 1:
        both = halves(front, left)
        return both.where(both.masks != 0)
    sizes = front.sizes - 1
    return Front(front.nodes - STEP + ((left ^ np.uint64(1)).astype(np.int64) << sizes), front.masks, sizes)


def ahead(front: Front, levels: int) -> list[Front]:
    """Return what is asked when searches go `levels` down at once: at each level all nodes below the front's."""
    asked = [front]
    while len(asked) < levels:
        above = asked[-1]
        above = above.where(above.sizes > 1)
        if not len(above.nodes):
            break
        both = halves(above, above.masks)
        both.masks[1::2] = above.masks
        asked.append(both)
    return asked


def how_far(searches: int, spare: int) -> int:
    """Return how many levels to ask at once: as many as cost no more than `spare` bits beyond one question each."""
    levels = 1
    while levels < MOST_AHEAD and searches * ((2 << levels) - 2 - levels) <= spare:
        levels += 1
    return levels


class Memory:
    """Parities that were told, as far as they are used again: those of the first passes.

    Attributes:
        known: for each node, the two words below, side by side; shape ((passes + 1) << depth, 2).
        asked: lanes in which the parity of the node's left half was told.
        odd_left: at the sink, those of them in which it differs.
    """

    def __init__(self, depth: int, passes: int) -> None:
        self.leaves, self.passes = 1 << depth, passes
        self.known = np.zeros(((passes + 1) << depth, 2), np.uint64)  # a last part for all other passes stays 0
        self.asked, self.odd_left = self.known[:, 0], self.known[:, 1]

    def index(self, front: Front) -> Nodes:
        """Return where the nodes are found in `asked`."""
        row = np.minimum(front.nodes >> PASS, self.passes) * self.leaves
        return row + (self.leaves + first(front.nodes) >> front.sizes)

    def record(self, asked: Front, odd: Words | None = None) -> None:
        """Take down what is told, and at the sink what differs."""
        kept = asked.nodes < self.passes << PASS
        if kept.any():
            index = self.index(asked)
            none = np.uint64(0)
            np.bitwise_or.at(self.asked, index, np.where(kept, asked.masks, none))
            if odd is not None:
                np.bitwise_or.at(self.odd_left, index, np.where(kept, odd, none))


def descend(front: Front, memory: Memory, lanes: int, lefts: Callable[[Front], Words]) -> Front:
    """Go down to where nothing is known: `lefts` says which lanes go left at a node whose halves are known."""
    found = []
    while len(front.nodes):
        known = memory.asked[memory.index(front)] & front.masks
        if not known.any():
            found.append(front)
            break
        new = front.masks & ~known
        found.append(Front(front.nodes, new, front.sizes).where(new != 0))
        front = Front(front.nodes, known, front.sizes).where(known != 0)
        if front.sizes.min() <= 1:
            raise Broken("parities that contradict each other")
        front = below(front, lefts(front), lanes)
    return Front.join(found)


class Reader:
    """Bits of a message, in order."""

    def __init__(self, packed: bytes | memoryview) -> None:
        self.bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
        self.at = 0

    def take(self, count: int) -> Bits:
        """Return the next `count` bits. Broken when there are not so many."""
        bits = self.bits[self.at : self.at + count]
        self.at += count
        if self.at > len(self.bits):
            raise Broken("fewer bits than were asked for")
        return bits

    def finish(self) -> None:
        """Broken when octets are left."""
        if len(self.bits) - self.at >= 8 or self.at > len(self.bits):
            raise Broken("another number of bits than was asked for")
