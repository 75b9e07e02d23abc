"""The sink's side: it compares parities, finds the bits that differ, and asks on.

A lane that has no search under way begins one in every block that differs, in the lowest pass that has any: small
blocks first, for they tell least per error that is found, and blocks of one pass cannot find the same error twice. When
no lane finds anything to do, parities of random subsets are checked; what they show is searched for the same way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...bits import octet_count
from ...failure import Broken, NoKey
from .answers import CHECK, CHECKED, DONE, FOUND, SEARCH, SUBSET
from .checks import join, sums
from .frames import Bits, Octets, Words, flags, lane_octets, scatter, select, to_octets, to_words, total, unpack_lanes
from .nodes import Front, Reader, ahead, below, descend, halves, how_far
from .order import Codes, Public, subset
from .schedule import Schedule
from .starts import Layout, write
from .tracks import Tracks


class Search:
    """One block at the sink.

    Attributes:
        leaked: bits that the source told so far.
        done: whether there is nothing more to ask.
    """

    _many = 2_000  # entries that take a millisecond

    def __init__(self, octets: Octets, schedule: Schedule, public: Public) -> None:
        self.schedule, self._public = schedule, public
        self.leaked, self.done = 0, False
        self._before = to_words(octets, schedule.count, schedule.lanes)
        self._layout, self._all = Layout(schedule), np.uint64((1 << schedule.lanes) - 1)
        self._tracks = self._make_tracks(self._before.copy())
        self._told: list[Words] = []  # the source's block parities, pass by pass
        self._awaiting = 0
        self._bits: list[Bits] = []  # to be said next
        self._front, self._levels, self._expected = Front.empty(), 1, 0
        self._stage, self._check = 0, 0
        self._codes, self._factors = np.zeros(0, np.uint16), np.zeros(0, np.uint64)
        self._sums = np.zeros(0, np.uint64)

    @property
    def busy(self) -> bool:
        """Whether the next message takes more than about a millisecond."""
        return len(self._front.nodes) >= self._many

    def open(self, said: bytes) -> bytes:
        """Take the source's block parities of all passes (`Answers.open`); return what to say."""
        lanes, rest = self.schedule.lanes, memoryview(said)
        whole = np.uint64(0)
        for number in range(len(self.schedule.sizes)):
            count = self.schedule.blocks(number) - (number > 0)
            length = lane_octets(count, lanes)
            if len(rest) < length:
                raise Broken("fewer parities than there are blocks")
            words, rest = unpack_lanes(bytes(rest[:length]), count, lanes), rest[length:]
            last = np.bitwise_xor.reduce(words)
            whole = last if number == 0 else whole
            self._told.append(words if number == 0 else np.append(words, whole ^ last))
            self.leaked += count * lanes
        if len(rest):
            raise Broken("more parities than there are blocks")
        self._may_go_on()
        return self._next()

    def hear(self, said: bytes) -> bytes:
        """Take the source's answer; return what to say. Broken when it is not what was asked for."""
        if self._awaiting == SEARCH:
            if len(said) != octet_count(self._expected):
                raise Broken("another number of parities than was asked for")
            self._told_more(self._expected)
            self._take(said)
        elif self._awaiting == CHECK:
            return self._judge(said)
        elif self._awaiting == SUBSET:
            return self._open_subset(said)
        return self._next()

    def corrected(self) -> tuple[Octets, npt.NDArray[np.int64]]:
        """Return the corrected block, and the positions of the bits that were flipped, ascending."""
        lanes, words = self.schedule.lanes, self._tracks.words
        differ = self._before ^ words
        places = np.flatnonzero(differ)
        positions = places[:, None] * lanes + np.arange(lanes)
        found = positions[(differ[places][:, None] >> np.arange(lanes, dtype=np.uint64) & np.uint64(1)).astype(bool)]
        return to_octets(words, self.schedule.count, lanes), found.astype(np.int64)

    def wipe(self) -> None:
        """Overwrite what the block could be made out from."""
        self._tracks.wipe()
        self._before.fill(0)

    def _may_go_on(self) -> None:
        if self.leaked > self.schedule.limit:
            raise NoKey("error correction")

    # -- what to ask

    def _next(self) -> bytes:
        """Begin searches in idle lanes; return the message."""
        begun = self._begin(self._all & ~np.bitwise_or.reduce(self._front.masks))
        if not len(begun.nodes) and not len(self._front.nodes):
            return self._ask_check()
        self._awaiting = SEARCH
        return bytes([SEARCH]) + self._ask(begun) + self._say()

    def _begin(self, idle: np.uint64) -> Front:
        """Return the blocks in which idle lanes begin to search; opens the next pass when they need it."""
        begun, tracks, number = [], self._tracks, 0
        while idle and number < max(len(self._told), tracks.opened):
            self._open_up_to(number)
            odd = tracks.odd_blocks(number) & idle
            blocks = np.flatnonzero(odd)
            if len(blocks):
                begun.append(Front(self._layout.roots(number, blocks), odd[blocks]))
                idle &= ~np.bitwise_or.reduce(odd)
            number += 1
        return Front.join(begun)

    def _open_up_to(self, number: int) -> None:
        if number == self._tracks.opened:
            self._tracks.open(number, self._public.order(number), self._told[number])

    def _ask(self, begun: Front) -> bytes:
        """Let searches begin, which is returned; decide how far ahead to ask, and count the bits that will be told."""
        message = write(begun, self._layout)
        if len(begun.nodes):
            self._front = Front.join([self._front, self._descend(begun)])
        each = flags(self._front.masks, self.schedule.lanes)
        self._levels = how_far(np.count_nonzero(each), self.schedule.ahead)
        counts = np.count_nonzero(each.reshape(len(self._front.nodes), -1), axis=1)
        self._expected = int(counts @ ((1 << np.minimum(self._front.sizes, self._levels)) - 1))
        return message

    def _say(self) -> bytes:
        """Return, packed, in which halves searches go on."""
        packed = np.packbits(np.concatenate(self._bits), bitorder="little").tobytes() if self._bits else b""
        self._bits = []
        return packed

    def _descend(self, begun: Front) -> Front:
        def lefts(front: Front) -> Words:
            left = memory.odd_left[memory.index(front)] & front.masks
            self._bits.append(select(left, front.masks, self.schedule.lanes))
            return left

        memory = self._tracks.memory
        return descend(begun, memory, self.schedule.lanes, lefts)

    # -- what was told

    def _take(self, said: bytes) -> None:
        """Take the answers to what was asked: searches go on in the halves that differ."""
        reader, lanes, tracks = Reader(said), self.schedule.lanes, self._tracks
        path = self._front.masks
        for asked in ahead(self._front, self._levels):
            told = scatter(reader.take(total(asked.masks, lanes)), asked.masks, lanes)
            left = (told ^ tracks.left(asked)) & path
            front = Front(asked.nodes, path, asked.sizes)
            tracks.memory.record(front, left)
            inner = front.sizes > 1
            if not inner.all():
                self._flip(front.where(~inner), left[~inner])
                front, left = Front(front.nodes[inner], path[inner], front.sizes[inner]), left[inner]
            self._bits.append(select(left, front.masks, lanes))
            front = halves(front, left)
            path = front.masks
        self._front = front.where(path != 0)

    def _told_more(self, count: int) -> None:
        self.leaked += count
        self._may_go_on()

    def _flip(self, last: Front, left: Words) -> None:
        leaves = below(last, left, self.schedule.lanes)
        if len(leaves.nodes):
            self._tracks.flip(leaves)

    # -- the checks at the end

    def _ask_check(self) -> bytes:
        self._codes, self._factors = self._public.checks(self._stage)
        self._stage += 1
        self._awaiting = CHECK
        return bytes([CHECK]) + self._say()

    def _judge(self, said: bytes) -> bytes:
        if len(said) != CHECKED.size:
            raise Broken("another number of checks than agreed")
        self._told_more(self.schedule.checks)
        self._sums = self._sum(self._codes)
        differ = CHECKED.unpack(said)[0] ^ join(self._sums, self._factors)
        if not differ:
            self.done = True
            return bytes([DONE]) + FOUND.pack(self._count())
        # With one lane, a check that differs is known; with several, each differs in half of the lanes with errors.
        self._check = (differ & -differ).bit_length() - 1 if self.schedule.lanes == 1 else 0
        return self._ask_subset()

    def _ask_subset(self) -> bytes:
        if self._check >= self.schedule.checks:
            raise Broken("parities that contradict each other")
        self._awaiting = SUBSET
        return bytes([SUBSET, self._check])

    def _open_subset(self, said: bytes) -> bytes:
        """A check differs: its places become a pass of one block, unless they are even in all lanes."""
        lanes, tracks = self.schedule.lanes, self._tracks
        if len(said) != lane_octets(1, lanes):
            raise Broken("another number of lanes than there are")
        self._told_more(lanes if lanes > 1 else 0)
        told = unpack_lanes(said, 1, lanes)
        if told[0] == self._sums[self._check]:
            self._check += 1
            return self._ask_subset()
        places = subset(self._codes, self._check)
        self._layout.add_subset(len(places))
        tracks.open(len(self.schedule.sizes), places, told)
        return self._next()

    def _make_tracks(self, words: Words) -> Tracks:
        return Tracks(words, self.schedule, self._layout)

    def _count(self) -> int:
        return total(self._before ^ self._tracks.words, self.schedule.lanes)

    def _sum(self, codes: Codes) -> Words:
        return sums(self._tracks.words, codes, self.schedule.checks)
