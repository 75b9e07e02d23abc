"""Cascade in compiled code: says bit for bit what the portable form says, some ten times sooner."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...bits import octet_count
from ...failure import Broken
from . import kernels, passes
from .answers import Answers
from .frames import Octets, Words, to_octets
from .nodes import Front
from .order import Codes, Order
from .search import Search
from .starts import NONE, Entries, write
from .tracks import Tracks

_CONTRADICTION = "parities that contradict each other"
_SILENCE = np.zeros(2, np.uint64), 0


class FastAnswers(Answers):
    """`Answers` in compiled code."""

    _many = 40_000

    def _load(self, number: int) -> None:
        kernels.prefix(self._words, self._public.order(number), self._prefix[number])

    def _load_subset(self, places: Order) -> np.uint64:
        kernels.prefix(self._words, places, self._prefix[-1])
        whole: np.uint64 = self._prefix[-1, -1]
        return whole

    def _sums(self, codes: Codes) -> Words:
        found: Words = kernels.sums(self._words, codes, self.schedule.checks)
        return found

    def _from_entries(self, entries: Entries) -> Front:
        layout = self._layout
        nodes, masks, sensible = kernels.from_entries(entries, layout.offsets, layout.sizes, layout.lanes)
        if not sensible:
            raise Broken("searches out of order")
        return Front(nodes, masks)

    def _go_on(self, begun: Front, said: memoryview) -> None:
        front, memory = self._front, self._memory
        nodes, masks, self._levels, read = kernels.answer(
            memory.known,
            memory.leaves,
            (front.nodes, front.masks),
            self._levels,
            _stream(said),
            (begun.nodes, begun.masks),
            self.schedule.ahead,
        )
        if read < 0 or len(said) != octet_count(read):
            raise Broken("another number of bits than was asked for, or such as contradict each other")
        self._front = Front(nodes, masks)

    def _tell(self) -> tuple[bytes, int]:
        nodes, masks = self._front.nodes, self._front.masks
        if self._levels > 1:
            nodes, masks = kernels.ahead(nodes, masks, self._levels)
        stream, count = kernels.tell(nodes, masks, self._prefix)
        return stream.view(np.uint8)[: octet_count(count)].tobytes(), count


class FastTracks(Tracks):
    """`Tracks` with parities of 16 and of 256 positions in place of prefix parities."""

    def flip(self, leaves: Front) -> None:
        """See `Tracks.flip`."""
        if not passes.flip(self.state, self.opened, leaves.nodes, leaves.masks):
            raise Broken(_CONTRADICTION)

    def wipe(self) -> None:
        """See `Tracks.wipe`."""
        self.words.fill(0)
        self.state.levels.fill(0)

    def _make_parities(self, rows: int) -> None:
        leaves = self._leaves
        levels = np.empty((rows, passes.starts_of(leaves)[-1]), np.uint64)
        self.state = passes.State(
            self.words, self.order, self.inverse, levels, leaves, self.odd,
            self.offsets, self.sizes, self.lengths, self.memory.known,
        )  # fmt: skip

    def _lay(self, number: int, order: Order, told: Words) -> None:
        passes.lay(self.state, number, len(order))
        passes.compare(self.state, number, told)


class FastSearch(Search):
    """`Search` in compiled code."""

    _many = 20_000
    _tracks: FastTracks
    _said: tuple[Words, int] = _SILENCE  # a stream, and the bits in it that are to be said next

    def corrected(self) -> tuple[Octets, npt.NDArray[np.int64]]:
        """See `Search.corrected`."""
        schedule, words = self.schedule, self._tracks.words
        flipped = kernels.positions(self._before ^ words, schedule.lanes)
        return to_octets(words, schedule.count, schedule.lanes), flipped

    def _make_tracks(self, words: Words) -> Tracks:
        return FastTracks(words, self.schedule, self._layout)

    def _count(self) -> int:
        count: int = kernels.total(self._before ^ self._tracks.words)
        return count

    def _sum(self, codes: Codes) -> Words:
        found: Words = kernels.sums(self._tracks.words, codes, self.schedule.checks)
        return found

    def _begin(self, idle: np.uint64) -> Front:
        tracks = self._tracks
        if not idle:
            return Front.empty()
        while True:
            nodes, masks, left = passes.begin(tracks.state, tracks.opened, self._layout.counts, idle)
            if not left or tracks.opened >= len(self._told):
                return Front(nodes, masks)
            self._open_up_to(tracks.opened)

    def _ask(self, begun: Front) -> bytes:
        layout, front, message = self._layout, self._front, NONE
        if len(begun.nodes):
            entries = kernels.list_entries(begun.nodes, begun.masks, layout.offsets, layout.lanes)
            message = write(begun, layout, entries)
        nodes, masks, self._levels, self._expected, stream, count = passes.ask(
            self._tracks.state,
            (front.nodes, front.masks),
            (begun.nodes, begun.masks),
            self._said,
            self.schedule.depth,
            self.schedule.ahead,
        )
        if count < 0:
            raise Broken(_CONTRADICTION)
        self._front, self._said = Front(nodes, masks), (stream, count)
        return message

    def _take(self, said: bytes) -> None:
        front, tracks = self._front, self._tracks
        nodes, masks, stream, count = passes.take(
            tracks.state, tracks.opened, (front.nodes, front.masks), self._levels, _stream(said)
        )
        if count < 0:
            raise Broken(_CONTRADICTION)
        self._front, self._said = Front(nodes, masks), (stream, count)

    def _say(self) -> bytes:
        stream, count = self._said
        self._said = _SILENCE
        return stream.view(np.uint8)[: octet_count(count)].tobytes()


def _stream(packed: bytes | memoryview) -> Words:
    """Return packed bits as a stream (instructions.py)."""
    stream = np.zeros((len(packed) + 7 >> 3) + 2, np.uint64)
    stream.view(np.uint8)[: len(packed)] = np.frombuffer(packed, np.uint8)
    return stream
