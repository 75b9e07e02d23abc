"""Compiled loops of Cascade that go through the sink's passes; see tracks.py and search.py, and kernels.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .frames import Words
from .instructions import compiled, get, inlined, ones, put
from .kernels import branch, descend, heap, how_far, join, total
from .nodes import PASS, SIZE, STEP, Nodes

_0 = np.uint64(0)


class State(NamedTuple):
    """What the sink keeps of its passes; see `tracks.Tracks`.

    `levels`, shape (passes + 1, see `starts_of`): a row is `Tracks.permuted`, then the parities of 16 and of
    256 positions each.
    """

    words: Words
    order: npt.NDArray[np.uint32]
    inverse: npt.NDArray[np.uint32]
    levels: npt.NDArray[np.uint64]
    leaves: int
    odd: Words
    offsets: Nodes
    sizes: Nodes
    lengths: Nodes
    known: Words


@inlined
def starts_of(leaves: Any) -> Any:
    """Return where a row of `State.levels` has each of its three levels, and its length."""
    one = leaves + 1
    two = one + (leaves >> 4) + 1
    return 0, one, two, two + (leaves >> 8) + 1


@compiled
def lay(state: State, number: int, length: int) -> None:
    """Take the words in the order of a pass, and sum them up level by level; see `Tracks._lay`."""
    order, inverse, row, words = state.order[number], state.inverse[number], state.levels[number], state.words
    for position in range(length):
        inverse[order[position]] = position
        row[position] = words[order[position]]
    for position in range(length, len(row)):
        row[position] = _0
    starts = starts_of(state.leaves)
    for level in range(1, 3):
        below, begin = starts[level - 1], starts[level]
        for place in range(state.leaves >> 4 * level):
            parity = _0
            for at in range(below + 16 * place, below + 16 * place + 16):
                parity ^= row[at]
            row[begin + place] = parity


@inlined
def of_node(levels: Any, leaves: Any, row: Any, begin: Any, log_size: Any) -> Any:
    """Return the parity of the positions below a node: of at most 16 words, up to 2^12 positions."""
    _, one, two, width = starts_of(leaves)
    shift, start = 0, row * width
    if log_size > 8:
        shift, start = 8, start + two
    elif log_size > 4:
        shift, start = 4, start + one
    start += begin >> shift
    parity = _0
    for at in range(start, start + (1 << log_size - shift)):
        parity ^= levels[at]
    return parity


@compiled
def compare(state: State, number: int, told: Words) -> None:
    """Set `odd` of a pass: where its blocks differ from what was told."""
    begin, log_size = state.offsets[number], state.sizes[number]
    levels, leaves, odd = state.levels.reshape(-1), state.leaves, state.odd
    for place in range(begin, len(odd)):
        odd[place] = _0
    for block in range(len(told)):
        odd[begin + block] = told[block] ^ of_node(levels, leaves, number, block << log_size, log_size)


@compiled
def begin(state: State, rows: int, blocks: Nodes, idle: Any) -> Any:
    """See `Search._begin`, for the first `rows` passes: return nodes, masks, and the lanes that are still idle."""
    odd, room = state.odd, np.int64(1)
    for row in range(rows):
        room += blocks[row]
    nodes, masks, count = np.empty(room, np.int64), np.empty(room, np.uint64), 0
    for row in range(rows):
        offset, log_size, taken = state.offsets[row], state.sizes[row], _0
        for block in range(blocks[row]):
            lanes = odd[offset + block] & idle
            nodes[count], masks[count] = (row << PASS | log_size << SIZE) + (block << log_size), lanes
            count += 1 if lanes else 0
            taken |= lanes
        idle &= ~taken
        if not idle:
            break
    return nodes[:count], masks[:count], idle


@compiled
def flip(state: State, opened: int, nodes: Nodes, masks: Words) -> Any:
    """See `Tracks.flip`; false when a place is none."""
    words, order, lengths = state.words, state.order, state.lengths
    places = np.empty(len(nodes), np.int64)
    for entry in range(len(nodes)):
        row, position = nodes[entry] >> PASS, nodes[entry] & 0xFFFFFFFF
        if position >= lengths[row]:
            return False
        places[entry] = order[row, position]
        words[places[entry]] ^= masks[entry]
    for number in range(opened):
        flip_row(state, number, nodes, places, masks)
    return True


@compiled
def flip_row(state: State, number: int, nodes: Nodes, places: Nodes, masks: Words) -> None:
    """Flip places in one pass, and see `Tracks._forget_odd`."""
    inverse, row, (_, one, two, _), leaves = (
        state.inverse[number], state.levels[number], starts_of(state.leaves), state.leaves
    )  # fmt: skip
    odd, block = state.odd[state.offsets[number] :], state.sizes[number]
    remembered, known = len(state.known) // leaves - 1 > number, state.known[number * leaves :]
    for entry in range(len(places)):
        node, mask, log_size = nodes[entry], masks[entry], block
        at = node & 0xFFFFFFFF if node >> PASS == number else np.int64(inverse[places[entry]])
        row[at] ^= mask
        row[one + (at >> 4)] ^= mask
        row[two + (at >> 8)] ^= mask
        odd[at >> block] ^= mask
        while remembered and log_size > 0:
            index = leaves + at >> log_size
            mask &= known[index, 0]
            if not mask:
                break
            log_size -= 1
            if not at >> log_size & 1:
                known[index, 1] ^= mask


@compiled
def halve(state: State, asked: Any, path: Words, told: Any, said: Any, last: bool) -> Any:
    """Take the answers of one level: `asked` are nodes and masks, `path` the lanes whose search comes that way.

    `told` and `said` are streams and how far they are. Return what is below, nodes, masks and path, without what has no
    lanes if it is the `last` level; then the leaves to flip, nodes and masks; then how far the streams are.
    """
    (nodes, masks), (heard, at), (saying, written) = asked, told, said
    known, leaves, levels = state.known, state.leaves, state.levels.reshape(-1)
    remembered, room = len(known) // leaves - 1, 2 * len(nodes) + 1
    below, lanes, ways, count = np.empty(room, np.int64), np.empty(room, np.uint64), np.empty(room, np.uint64), 0
    ends, end_lanes, ended = np.empty(room, np.int64), np.empty(room, np.uint64), 0
    for entry in range(len(nodes)):
        node, mask, way = nodes[entry], masks[entry], path[entry]
        row, begin, half = node >> PASS, node & 0xFFFFFFFF, (node >> SIZE & 0xFF) - 1
        go_left = get(mask, heard, at)
        at += ones(mask)
        if last and not way:
            continue
        go_left = (go_left ^ of_node(levels, leaves, row, begin, half)) & way
        if row < remembered:
            index = heap(node, leaves)
            known[index, 0] |= way
            known[index, 1] |= go_left
        if not half:
            ended = branch(node, way, go_left, ends, end_lanes, ended)
            continue
        written = put(go_left, way, saying, written)
        if last:
            count = branch(node, way, go_left, below, ways, count)
            continue
        for right in range(2):
            below[count] = node - STEP + (right << half)
            lanes[count], ways[count] = mask, way & ~go_left if right else go_left
            count += 1
    return (below[:count], lanes[:count]), ways[:count], (ends[:ended], end_lanes[:ended]), at, written


@compiled
def take(state: State, opened: int, front: Any, levels: int, told: Words) -> Any:
    """See `Search._take`: return nodes and masks to go on with, a stream to say and its bits, -1 if it is nonsense."""
    saying = np.zeros((total(front[1]) * levels >> 6) + 2, np.uint64)
    at, written, sensible = np.int64(0), np.int64(0), True
    asked, path = front, front[1]
    for level in range(levels):
        said = saying, written
        asked, path, ends, at, written = halve(state, asked, path, (told, at), said, level == levels - 1)
        if len(ends[0]):
            sensible &= flip(state, opened, ends[0], ends[1])
    return asked[0], path, saying, written if sensible else np.int64(-1)


@compiled
def ask(state: State, front: Any, begun: Any, said: Any, depth: int, spare: int) -> Any:
    """See `Search._ask`, for roots that begin: return nodes and masks of all searches, levels, and bits to be told.

    Then `said`, a stream and its bits, with what is said of known halves; its bits are -1 if that makes no sense.
    """
    written = said[1]
    saying = np.zeros((written + total(begun[1]) * depth >> 6) + 2, np.uint64)
    for word in range((written >> 6) + 1):
        saying[word] = said[0][word]
    nodes, masks, written = descend(begun, state.known, state.leaves, saying, written, 0)
    nodes, masks = join(front, (nodes, masks))
    levels, told = how_far(nodes, masks, spare)
    return nodes, masks, levels, told, saying, written
