"""Compiled loops of Cascade that go through searches, entry by entry, at either end.

Each says what the portable code of the same name says. Only fast.py imports this room, for it loads numba. All masks
and parities are uint64: one bit a lane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .frames import Words
from .instructions import compiled, get, inlined, ones, put
from .nodes import MOST_AHEAD, PASS, SIZE, STEP, Nodes

Known = npt.NDArray[np.uint64]  # as `Memory.known`
_0, _1 = np.uint64(0), np.uint64(1)


@compiled
def total(masks: Words) -> Any:
    """Return how many bits are set in all of them."""
    count = np.int64(0)
    for mask in masks:
        count += ones(mask)
    return count


@compiled
def prefix(words: Words, order: npt.NDArray[np.uint32], row: Words) -> None:
    """Fill row[1:] with the prefix parities of `words` in that order, and go on with the last one."""
    parity = _0
    row[0] = parity
    for position in range(len(order)):
        parity ^= words[order[position]]
        row[position + 1] = parity
    for position in range(len(order) + 1, len(row)):
        row[position] = parity


@compiled
def sums(words: Words, codes: npt.NDArray[np.uint16], checks: int) -> Any:
    """See `answers.sums`: words are summed by each octet of their code, then the sums by its bits."""
    low, high = np.zeros(256, np.uint64), np.zeros(256, np.uint64)
    for place in range(len(words)):
        low[codes[place] & 255] ^= words[place]
        high[codes[place] >> 8] ^= words[place]
    found = np.zeros(checks, np.uint64)
    for check in range(checks):
        part = low if check < 8 else high
        for code in range(256):
            if code >> (check & 7) & 1:
                found[check] ^= part[code]
    return found


@compiled
def tell(nodes: Nodes, masks: Words, prefixes: npt.NDArray[np.uint64]) -> Any:
    """Return the parity of the left half of each node, in its lanes, as a stream; and how many bits that is."""
    last, at, told = prefixes.shape[1] - 1, np.int64(0), total(masks)
    stream = np.zeros((told >> 6) + 2, np.uint64)
    for entry in range(len(nodes)):
        node = nodes[entry]
        row, begin = node >> PASS, node & 0xFFFFFFFF
        middle = begin + (np.int64(1) << (node >> SIZE & 0xFF) - 1)
        parity = prefixes[row, min(middle, last)] ^ prefixes[row, min(begin, last)]
        at = put(parity, masks[entry], stream, at)
    return stream, told


@inlined
def branch(node: Any, mask: Any, left: Any, nodes: Any, masks: Any, count: Any) -> Any:
    """Append the halves of a node that have lanes; return how many entries there are then."""
    below, right = node - STEP, mask & ~left
    nodes[count], masks[count] = below, left  # overwritten by the next one if there is no lane: no branch to guess
    count += np.int64(left != _0)
    nodes[count], masks[count] = below + (np.int64(1) << (below >> SIZE & 0xFF)), right
    return count + np.int64(right != _0)


@inlined
def heap(node: Any, leaves: Any) -> Any:
    """Return where `Memory` has a node of a remembered pass."""
    return (node >> PASS) * leaves + ((leaves + (node & 0xFFFFFFFF)) >> (node >> SIZE & 0xFF))


@compiled
def follow(nodes: Nodes, masks: Words, stream: Words, at: Any, known: Known, leaves: int) -> Any:
    """See `Answers._follow`, one level; return nodes and masks. Reads as many bits as `inner_total` says."""
    remembered = len(known) // leaves - 1
    room = 2 * len(nodes) + 1
    below, lanes = np.empty(room, np.int64), np.empty(room, np.uint64)
    count = 0
    for entry in range(len(nodes)):
        node, mask = nodes[entry], masks[entry]
        if node >> PASS < remembered:
            known[heap(node, leaves), 0] |= mask
        if node >> SIZE & 0xFF > 1:
            left = get(mask, stream, at)
            at += ones(mask)
            count = branch(node, mask, left, below, lanes, count)
    return below[:count], lanes[:count]


@compiled
def inner_total(nodes: Nodes, masks: Words) -> Any:
    """Return how many bits `follow` reads."""
    count = np.int64(0)
    for entry in range(len(nodes)):
        if nodes[entry] >> SIZE & 0xFF > 1:
            count += ones(masks[entry])
    return count


@compiled
def descend(begun: Any, known: Known, leaves: int, stream: Words, at: Any, end: Any) -> Any:
    """See `nodes.descend`; return nodes, masks, and how far the stream is then, or -1 where it contradicts itself.

    The sink's lanes go left where `Memory.odd_left` says, which is written to the stream (`end` 0); the source reads it
    there, up to `end`.
    """
    now, now_lanes = begun
    remembered, room = len(known) // leaves - 1, total(now_lanes) + 1
    found, lanes, count = np.empty(room, np.int64), np.empty(room, np.uint64), 0
    while len(now):
        below, below_lanes, going = np.empty(room, np.int64), np.empty(room, np.uint64), 0
        for entry in range(len(now)):
            node, mask, old = now[entry], now_lanes[entry], _0
            if node >> PASS < remembered:
                old = known[heap(node, leaves), 0] & mask
            if mask & ~old:
                found[count], lanes[count] = node, mask & ~old
                count += 1
            if not old:
                continue
            if node >> SIZE & 0xFF <= 1 or (end and at + ones(old) > end):
                return found[:0], lanes[:0], np.int64(-1)
            left = get(old, stream, at) if end else known[heap(node, leaves), 1] & old
            if not end:
                put(left, old, stream, at)
            at += ones(old)
            going = branch(node, old, left, below, below_lanes, going)
        now, now_lanes = below[:going], below_lanes[:going]
    return found[:count], lanes[:count], np.int64(at)


@compiled
def join(one: Any, other: Any) -> Any:
    """Return nodes and masks of both (written out, for numba compiles that much sooner than numpy.concatenate)."""
    count = len(one[0])
    nodes, masks = np.empty(count + len(other[0]), np.int64), np.empty(count + len(other[0]), np.uint64)
    for entry in range(count):
        nodes[entry], masks[entry] = one[0][entry], one[1][entry]
    for entry in range(len(other[0])):
        nodes[count + entry], masks[count + entry] = other[0][entry], other[1][entry]
    return nodes, masks


@compiled
def how_far(nodes: Nodes, masks: Words, spare: int) -> Any:
    """See `nodes.how_far`; return levels, and how many bits are told."""
    searches, levels, count = total(masks), 1, np.int64(0)
    while levels < MOST_AHEAD and searches * ((2 << levels) - 2 - levels) <= spare:
        levels += 1
    for entry in range(len(nodes)):
        count += ones(masks[entry]) * ((1 << min(nodes[entry] >> SIZE & 0xFF, levels)) - 1)
    return levels, count


@compiled
def answer(known: Known, leaves: int, front: Any, levels: int, stream: Words, begun: Any, spare: int) -> Any:
    """See `Answers._go_on`: return nodes and masks of all searches, levels, and bits read, -1 if it makes no sense."""
    nodes, masks, at, end = front[0], front[1], np.int64(0), np.int64(64 * (len(stream) - 2))
    for _ in range(levels):
        need = inner_total(nodes, masks)
        if at + need > end:
            return nodes, masks, levels, np.int64(-1)
        nodes, masks = follow(nodes, masks, stream, at, known, leaves)
        at += need
    # An empty stream still has an end: what is known cannot be read from it.
    more, lanes, at = descend(begun, known, leaves, stream, at, max(end, 1))
    nodes, masks = join((nodes, masks), (more, lanes))
    return nodes, masks, how_far(nodes, masks, spare)[0], at


@compiled
def ahead(nodes: Nodes, masks: Words, levels: int) -> Any:
    """See `nodes.ahead`: return all levels, one after the other."""
    below, lanes = np.empty(len(nodes) << levels, np.int64), np.empty(len(nodes) << levels, np.uint64)
    count = len(nodes)
    for entry in range(count):
        below[entry], lanes[entry] = nodes[entry], masks[entry]
    begin = 0
    for _ in range(1, levels):
        end = count
        for entry in range(begin, end):
            node, half = below[entry], (below[entry] >> SIZE & 0xFF) - 1
            if half:
                below[count], below[count + 1] = node - STEP, node - STEP + (1 << half)
                lanes[count], lanes[count + 1] = lanes[entry], lanes[entry]
                count += 2
        begin = end
    return below[:count], lanes[:count]


@compiled
def list_entries(nodes: Nodes, masks: Words, offsets: Nodes, lanes: int) -> Any:
    """See `starts.list_entries`."""
    found, count = np.empty(total(masks), np.uint32), 0
    for entry in range(len(nodes)):
        node, mask = nodes[entry], masks[entry]
        block = offsets[node >> PASS] + ((node & 0xFFFFFFFF) >> (node >> SIZE & 0xFF))
        while mask:
            found[count] = block * lanes + ones((mask & (~mask + _1)) - _1)
            count += 1
            mask &= mask - _1
    return found


@compiled
def from_entries(entries: npt.NDArray[np.uint32], offsets: Nodes, sizes: Nodes, lanes: int) -> Any:
    """See `starts.from_entries`; return nodes, masks, and whether the entries make sense."""
    nodes, masks, count = np.empty(len(entries), np.int64), np.zeros(len(entries), np.uint64), 0
    row, last, before = 0, np.int64(-1), np.int64(-1)
    for entry in entries:
        number = np.int64(entry)
        block = number // lanes
        if number <= before or block >= offsets[-1]:
            return nodes[:0], masks[:0], False
        while block >= offsets[row + 1]:
            row += 1
        if block != last:
            nodes[count] = row << PASS | sizes[row] << SIZE | (block - offsets[row]) << sizes[row]
            count += 1
        masks[count - 1] |= _1 << np.uint64(number % lanes)
        before, last = number, block
    return nodes[:count], masks[:count], True


@compiled
def positions(differ: Words, lanes: int) -> Any:
    """Return the numbers of the bits that are set, ascending: place * lanes + lane."""
    found, count = np.empty(total(differ), np.int64), 0
    for place in range(len(differ)):
        mask = differ[place]
        while mask:
            found[count] = place * lanes + ones((mask & (~mask + _1)) - _1)
            count += 1
            mask &= mask - _1
    return found
