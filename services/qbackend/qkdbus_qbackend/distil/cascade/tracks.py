"""The sink's lanes, as every pass sees them: which blocks differ from the source's, and parities of any node.

`Tracks` is the portable form: a flipped bit is flipped in each pass's order, and the prefix parities are made again
before the next question. fast.py has one that never looks at a whole pass again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...failure import Broken
from .frames import Words
from .nodes import PASS, Front, Memory, first
from .order import Order
from .schedule import Schedule
from .starts import Layout


class Tracks:
    """One block at the sink.

    Attributes:
        words: the lanes, corrected so far.
        opened: passes that are kept up to date; they open in their order, when no earlier one sees an error.
    """

    def __init__(self, words: Words, schedule: Schedule, layout: Layout) -> None:
        self.words, self.opened = words, 0
        self.memory = Memory(schedule.depth, schedule.remembered)
        self._schedule, self._layout, self.sizes = schedule, layout, layout.sizes
        self._leaves = leaves = 1 << schedule.depth
        passes = len(schedule.sizes)
        # from here on the last row is the subset's
        self.lengths = np.full(passes + 1, schedule.places, np.int64)
        self.order = np.empty((passes + 1, schedule.places), np.uint32)
        # where a place is in a pass; `leaves` for places that the subset leaves out
        self.inverse = np.empty((passes + 1, schedule.places), np.uint32)
        counts = [(leaves >> log_size) + 1 for log_size in schedule.sizes]
        self.offsets = np.cumsum([0, *counts], dtype=np.int64)
        self.odd = np.zeros(int(self.offsets[-1]) + leaves + 1, np.uint64)  # lanes in which a block's parity differs
        self._make_parities(passes + 1)

    def odd_blocks(self, number: int) -> Words:
        """Return the lanes in which each block of an open pass holds an odd number of errors."""
        begin = self.offsets[number]
        return self.odd[begin : begin + self._layout.counts[number]]

    def open(self, number: int, order: Order, told: Words) -> None:
        """Keep pass `number` up to date from now on; `told` are the source's block parities."""
        self.lengths[number] = len(order)
        self.order[number, : len(order)] = order
        if len(order) < self._schedule.places:
            self.inverse[number].fill(self._leaves)
        self._lay(number, order, told)
        self.opened = number + 1

    def flip(self, leaves: Front) -> None:
        """Flip these bits, wherever they are."""
        rows, at = leaves.nodes >> PASS, first(leaves.nodes)
        if (at >= self.lengths[rows]).any():
            raise Broken("parities that contradict each other")
        places = self.order[rows, at]
        np.bitwise_xor.at(self.words, places, leaves.masks)
        for number in range(self.opened):
            found = self.inverse[number][places].astype(np.int64)
            np.bitwise_xor.at(self._permuted[number], found, leaves.masks)
            np.bitwise_xor.at(self.odd, self.offsets[number] + (found >> self.sizes[number]), leaves.masks)
            if number < self.memory.passes:
                self._forget_odd(number, found, leaves.masks)
        self._stale = True

    def left(self, asked: Front) -> Words:
        """Return the parity of the left half of each node."""
        if self._stale:
            np.bitwise_xor.accumulate(self._permuted[: self.opened, :-1], axis=1, out=self._prefix[: self.opened, 1:])
            self._stale = False
        begin = first(asked.nodes) + (asked.nodes >> PASS) * self._prefix.shape[1]
        flat = self._prefix.reshape(-1)
        parity: Words = flat[begin] ^ flat[begin + (np.int64(1) << asked.sizes - 1)]
        return parity

    def wipe(self) -> None:
        """Overwrite what the block could be made out from."""
        for array in (self.words, self._permuted, self._prefix):
            array.fill(0)

    def _make_parities(self, rows: int) -> None:
        # the last word of a row is what stands for places that the subset leaves out
        self._permuted = np.zeros((rows, self._leaves + 1), np.uint64)
        self._prefix = np.zeros((rows, self._leaves + 1), np.uint64)
        self._stale = True

    def _lay(self, number: int, order: Order, told: Words) -> None:
        length, begin, row = len(order), int(self.offsets[number]), self._prefix[number]
        self.inverse[number, order] = np.arange(length, dtype=np.uint32)
        self._permuted[number, :length] = self.words[order]
        self._permuted[number, length:] = 0
        np.bitwise_xor.accumulate(self._permuted[number, :-1], out=row[1:])
        ends = np.minimum(np.arange(len(told) + 1) << self.sizes[number], self._leaves)
        self.odd[begin:] = 0
        self.odd[begin : begin + len(told)] = told ^ row[ends[1:]] ^ row[ends[:-1]]

    def _forget_odd(self, number: int, at: npt.NDArray[np.int64], masks: Words) -> None:
        """A flipped bit changes the parity of each remembered half that holds it."""
        log_sizes = np.arange(self.sizes[number], 0, -1)[:, None]  # of the nodes above it, from the root down
        index = (self._leaves + at >> log_sizes) + number * self._leaves
        known = np.bitwise_and.accumulate(self.memory.asked[index] & masks)
        goes_left = at >> log_sizes - 1 & 1 == 0
        known = np.where(goes_left, known, np.uint64(0))
        np.bitwise_xor.at(self.memory.odd_left, index[known != 0], known[known != 0])
