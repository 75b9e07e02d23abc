"""The source's side: it tells parities of its lanes, and follows from the sink's words which ones are wanted.

`Answers` is the portable form, in NumPy; fast.py has the one in compiled code, which says the same.
"""

from __future__ import annotations

import struct

import numpy as np

from ...failure import Broken, NoKey
from .checks import join, sums
from .frames import Octets, Words, pack_lanes, scatter, select, to_words, total
from .nodes import PASS, Front, Memory, Reader, ahead, below, descend, first, how_far
from .order import Codes, Order, Public, subset
from .schedule import Schedule
from .starts import Entries, Layout, from_entries, merge, read

SEARCH, CHECK, SUBSET, DONE = 1, 2, 3, 4  # what a message of the sink is: its first octet
CHECKED = struct.Struct("<H")  # the answer to CHECK
FOUND = struct.Struct("<Q")  # bits that were flipped


class Answers:
    """One block at the source.

    Attributes:
        leaked: bits told so far.
        corrected: bits that the sink says it flipped; None until it is done.
    """

    _many = 2_000  # entries that take a millisecond

    def __init__(self, octets: Octets, schedule: Schedule, public: Public) -> None:
        self.schedule, self._public = schedule, public
        self.leaked = 0
        self.corrected: int | None = None
        self._words = to_words(octets, schedule.count, schedule.lanes)
        passes = len(schedule.sizes)
        # prefix[p, i]: parity of the first i positions of pass p; the row after the last pass is the subset's
        self._prefix = np.empty((passes + 1, schedule.places + 1), np.uint64)
        self._memory = Memory(schedule.depth, schedule.remembered)
        self._front, self._levels = Front.empty(), 1
        self._layout = Layout(schedule)
        self._stage, self._codes = 0, np.zeros(0, np.uint16)

    def open(self) -> bytes:
        """Return the block parities of all passes.

        Of all passes but the first the last block is left out: the first one's blocks imply the parity of the lane.
        """
        parts = []
        for number in range(len(self.schedule.sizes)):
            self._load(number)
            told = self._blocks(number)[: None if number == 0 else -1]
            self.leaked += len(told) * self.schedule.lanes
            parts.append(pack_lanes(told, self.schedule.lanes))
        return b"".join(parts)

    @property
    def busy(self) -> bool:
        """Whether the next answer takes more than about a millisecond."""
        return len(self._front.nodes) >= self._many

    def answer(self, said: bytes) -> bytes:
        """Return what to say to the sink's message; nothing once it is done. Broken when it makes no sense."""
        kind, body = said[:1], memoryview(said)[1:]
        if kind == bytes([SEARCH]):
            told = self._search(body)
        elif kind == bytes([CHECK]):
            told = self._check(body)
        elif kind == bytes([SUBSET]) and len(body) == 1:
            told = self._tell_subset(body[0])
        elif kind == bytes([DONE]) and len(body) == FOUND.size:
            self.corrected, told = FOUND.unpack(body)[0], b""
        else:
            raise Broken("a message that error correction does not know")
        if self.leaked > self.schedule.limit:
            raise NoKey("error correction")
        return told

    def wipe(self) -> None:
        """Overwrite what the block could be made out from."""
        self._words.fill(0)
        self._prefix.fill(0)

    def _search(self, body: memoryview) -> bytes:
        tables, entries, rest = read(body, self._layout)
        begun = merge(tables, self._from_entries(entries)) if len(entries) else tables
        self._go_on(begun, rest)
        if not len(self._front.nodes):
            raise Broken("nothing is searched")
        packed, count = self._tell()
        self.leaked += count
        return packed

    def _check(self, body: memoryview) -> bytes:
        self._go_on(Front.empty(), body)
        if len(self._front.nodes):
            raise Broken("a check while there are searches")
        self._codes, factors = self._public.checks(self._stage)
        self._stage += 1
        self.leaked += self.schedule.checks
        return CHECKED.pack(join(self._sums(self._codes), factors))

    def _tell_subset(self, check: int) -> bytes:
        if not (check < self.schedule.checks and len(self._codes)):
            raise Broken("a check that there is not")
        places, lanes = subset(self._codes, check), self.schedule.lanes
        self._layout.add_subset(len(places))
        told = self._load_subset(places)
        self.leaked += lanes if lanes > 1 else 0  # the check of a single lane has told it
        return pack_lanes(np.array([told]), lanes)

    # -- what fast.py does in compiled code

    def _load(self, number: int) -> None:
        order = self._public.order(number)
        self._prefix[number, 0] = 0
        np.bitwise_xor.accumulate(self._words[order], out=self._prefix[number, 1:])

    def _load_subset(self, places: Order) -> np.uint64:
        row = self._prefix[-1]
        row[0] = 0
        np.bitwise_xor.accumulate(self._words[places], out=row[1 : len(places) + 1])
        row[len(places) + 1 :] = row[len(places)]
        whole: np.uint64 = row[-1]
        return whole

    def _blocks(self, number: int) -> Words:
        ends = np.arange(self.schedule.blocks(number) + 1) << self.schedule.sizes[number]
        row = self._prefix[number][np.minimum(ends, self.schedule.places)]
        blocks: Words = row[1:] ^ row[:-1]
        return blocks

    def _sums(self, codes: Codes) -> Words:
        return sums(self._words, codes, self.schedule.checks)

    def _go_on(self, begun: Front, said: memoryview) -> None:
        """Let searches go on and begin, as the sink says."""
        reader = Reader(said)
        going = self._follow(reader)
        if len(begun.nodes):
            begun = self._descend(begun, reader)
        reader.finish()
        self._front = Front.join([going, begun])
        self._levels = how_far(total(self._front.masks, self.schedule.lanes), self.schedule.ahead)

    def _from_entries(self, entries: Entries) -> Front:
        return from_entries(entries, self._layout)

    def _follow(self, reader: Reader) -> Front:
        """Go down from what was asked last, as the sink says; take down what was told on the way."""
        front, lanes = self._front, self.schedule.lanes
        for _ in range(self._levels):
            self._memory.record(front)
            front = front.where(front.sizes > 1)
            if not len(front.nodes):
                break
            left = scatter(reader.take(total(front.masks, lanes)), front.masks, lanes)
            front = below(front, left, lanes)
        return front

    def _descend(self, begun: Front, reader: Reader) -> Front:
        def lefts(front: Front) -> Words:
            return scatter(reader.take(total(front.masks, lanes)), front.masks, lanes)

        lanes = self.schedule.lanes
        return descend(begun, self._memory, lanes, lefts)

    def _tell(self) -> tuple[bytes, int]:
        """Return the parities that are asked for, packed, and how many."""
        levels, lanes = ahead(self._front, self._levels), self.schedule.lanes
        bits = np.concatenate([select(self._left(asked), asked.masks, lanes) for asked in levels])
        return np.packbits(bits, bitorder="little").tobytes(), len(bits)

    def _left(self, asked: Front) -> Words:
        """Return the parity of the left half of each node."""
        row, last = (asked.nodes >> PASS) * self._prefix.shape[1], self.schedule.places
        begin = first(asked.nodes)
        middle = begin + (np.int64(1) << asked.sizes - 1)
        flat = self._prefix.reshape(-1)
        parity: Words = flat[row + np.minimum(middle, last)] ^ flat[row + np.minimum(begin, last)]
        return parity
