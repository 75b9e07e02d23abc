"""Which searches begin: blocks and lanes, as the sink tells them.

Layout: number of tables (1 octet); each: pass (1 octet), `lanes` bits for each of its blocks, packed. Then for all
other passes: a count (4 octets), and that many numbers block * lanes + lane (4 octets each, ascending), where blocks
are numbered through all passes. The sink chooses what is shorter, pass by pass.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from ...failure import Broken
from .frames import Words, flags, lane_octets, pack_lanes, unpack_lanes
from .nodes import PASS, SIZE, Front, Nodes, first
from .schedule import Schedule

_COUNT = struct.Struct("<I")
NONE = bytes(1 + _COUNT.size)  # nothing begins
Entries = npt.NDArray[np.uint32]


class Layout:
    """The blocks of all passes; behind them the one block of a subset that failed a check.

    Attributes:
        counts: blocks of each pass, the subset last (0 until there is one).
        sizes: log2 of their size.
        offsets: number of each pass's first block, if they are numbered through.
    """

    def __init__(self, schedule: Schedule) -> None:
        passes = range(len(schedule.sizes))
        self.lanes, self.passes = schedule.lanes, len(passes)
        self.counts = np.array([*(schedule.blocks(number) for number in passes), 0], np.int64)
        self.sizes = np.array([*schedule.sizes, schedule.depth], np.int64)
        self.offsets = np.cumsum(np.array([0, *self.counts]))

    def add_subset(self, places: int) -> None:
        """Let the last pass be one block that holds that many places."""
        self.counts[-1], self.sizes[-1] = 1, max(1, (places - 1).bit_length())
        self.offsets[-1] = self.offsets[-2] + 1

    def roots(self, number: int, blocks: Nodes) -> Nodes:
        """Return the nodes of some blocks of a pass."""
        log_size = self.sizes[number]
        roots: Nodes = (number << PASS | log_size << SIZE) + (blocks << log_size)
        return roots


def write(begun: Front, layout: Layout, entries: Entries | None = None) -> bytes:
    """Return roots, ascending, as octets. `entries`: what `list_entries` gives for all of them."""
    if not len(begun.nodes):
        return NONE
    if entries is None:
        entries = list_entries(begun, layout)
    tables = []
    bounds = np.searchsorted(entries, layout.offsets * layout.lanes)
    listed = []
    for number in range(layout.passes + 1):
        part, count = entries[bounds[number] : bounds[number + 1]], int(layout.counts[number])
        if part.nbytes > lane_octets(count, layout.lanes):
            chosen = begun.nodes >> PASS == number
            table = np.zeros(count, np.uint64)
            table[first(begun.nodes[chosen]) >> layout.sizes[number]] = begun.masks[chosen]
            tables.append(bytes([number]) + pack_lanes(table, layout.lanes))
        else:
            listed.append(part.tobytes())
    packed = b"".join(listed)
    return b"".join([bytes([len(tables)]), *tables, _COUNT.pack(len(packed) // 4), packed])


def read(said: memoryview, layout: Layout) -> tuple[Front, Entries, memoryview]:
    """Undo `write`: return what tables say, the entries of the list, and what follows. Broken when it is not that."""
    tables, rest = _cut(said, 1)
    fronts = []
    for _ in range(tables[0]):
        head, rest = _cut(rest, 1)
        number = head[0]
        if number > layout.passes or not layout.counts[number]:
            raise Broken("a pass that there is not")
        count = int(layout.counts[number])
        table, rest = _cut(rest, lane_octets(count, layout.lanes))
        words = unpack_lanes(bytes(table), count, layout.lanes)
        blocks = np.flatnonzero(words)
        fronts.append(Front(layout.roots(number, blocks), words[blocks]))
    length, rest = _cut(rest, _COUNT.size)
    listed, rest = _cut(rest, 4 * _COUNT.unpack(length)[0])
    return Front.join(fronts), np.frombuffer(listed, "<u4"), rest


def list_entries(begun: Front, layout: Layout) -> Entries:
    """Return the number of each block and lane."""
    blocks = layout.offsets[begun.nodes >> PASS] + (first(begun.nodes) >> begun.sizes)
    if layout.lanes > 1:
        at = np.flatnonzero(flags(begun.masks, layout.lanes))
        blocks = blocks[at >> 6] * layout.lanes + (at & 63)
    entries: Entries = blocks.astype("<u4")
    return entries


def from_entries(entries: Entries, layout: Layout) -> Front:
    """Undo `list_entries`. Broken when they do not ascend, or name a block that there is not."""
    if not len(entries):
        return Front.empty()
    numbers = entries.astype(np.int64)
    if (numbers[1:] <= numbers[:-1]).any() or numbers[-1] >= layout.offsets[-1] * layout.lanes:
        raise Broken("searches out of order")
    blocks = numbers // layout.lanes
    begins = np.flatnonzero(np.diff(blocks, prepend=-1))
    masks: Words = np.bitwise_or.reduceat(np.uint64(1) << (numbers % layout.lanes).astype(np.uint64), begins)
    blocks = blocks[begins]
    rows = np.searchsorted(layout.offsets, blocks, side="right") - 1
    sizes = layout.sizes[rows]
    return Front((rows << PASS | sizes << SIZE) + (blocks - layout.offsets[rows] << sizes), masks)


def merge(tables: Front, listed: Front) -> Front:
    """Return all roots, ascending. Broken when a block is told twice."""
    if not (len(tables.nodes) and len(listed.nodes)):
        return Front.join([tables, listed])
    both = Front.join([tables, listed])
    order = np.argsort(both.nodes, kind="stable")
    nodes = both.nodes[order]
    if (nodes[1:] == nodes[:-1]).any():
        raise Broken("searches out of order")
    return Front(nodes, both.masks[order])


def _cut(said: memoryview, length: int) -> tuple[memoryview, memoryview]:
    if len(said) < length:
        raise Broken("a message that ends too soon")
    return said[:length], said[length:]
