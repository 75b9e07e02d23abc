"""The schedule of one block: lanes, block sizes, and how much may be asked ahead. The source plans it and tells it.

Bit number b of the block is place b // lanes of lane b % lanes. Lanes are corrected independently and in lock step,
64 of them in one machine word. Long lanes are efficient, many lanes are fast: a block gets as many as leave each
SHORTEST places.

Block sizes are powers of two, as in arXiv:1407.3257. There and in most of the literature searches run one after the
other, which allows first blocks of about 1 / QBER; here all searches of a pass run at once, and an error's partners are
less often found for nothing. Smaller first blocks, and passes that grow by factors of 4 to 8, then tell no more and
need fewer rounds. PASSES was found by simulation (benchmarks/cascade.py repeats it).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from ...failure import Broken

LANES = (1, 8, 16, 32, 64)
SHORTEST = 8192  # places, where there is more than one lane
MOST_PASSES = 8
REMEMBERED = 2  # passes whose every told parity is used again; later ones are hardly ever searched twice
CHECKS = 16  # parities of random subsets after the passes: 2^-16 is what an error has of staying unseen
CHECKS_SHORT = 12  # the same for one lane, where each of them weighs more
SMALLEST_QBER = 1e-5

# Up to this QBER: log2 of the block size of each pass; and which part of all the bits that a perfect code would tell a
# round may tell on top, to save later rounds. Passes with fewer than two blocks in a lane are left out.
PASSES: tuple[tuple[float, tuple[int, ...], int], ...] = (
    (0.00005, (13,), 600),
    (0.0001, (12, 14), 600),
    (0.0002, (11, 13), 600),
    (0.0004, (10, 12, 14), 600),
    (0.0008, (9, 11, 13), 600),
    (0.0020, (8, 10, 12, 14), 600),
    (0.0045, (7, 9, 11, 13), 600),
    (0.0110, (6, 8, 10, 13), 600),
    (0.0260, (5, 7, 10, 12), 1500),
    (0.0360, (4, 7, 10, 13), 3000),
    (0.0550, (4, 6, 9, 12), 3000),
    (0.0850, (3, 6, 9, 12), 3000),
    (0.1400, (3, 5, 8, 11), 3000),
    (0.5000, (2, 4, 7, 10), 3000),
)
_HEAD = struct.Struct("<QBBBBI")


@dataclass(frozen=True, slots=True)
class Schedule:
    """What both ends go by; public.

    Attributes:
        count: bits of the block.
        lanes: one of LANES.
        sizes: log2 of the block size of each pass.
        remembered: passes of which told parities are used again.
        checks: parities of random subsets that are told when no pass sees an error any more.
        ahead: bits that a round may tell beyond those that one halving of each search takes.
    """

    count: int
    lanes: int
    sizes: tuple[int, ...]
    remembered: int
    checks: int
    ahead: int

    @property
    def places(self) -> int:
        """Bits of a lane (the last one of some lanes may be a 0 that fills up)."""
        return max(1, -(-self.count // self.lanes))

    @property
    def depth(self) -> int:
        """Return log2 of the places of a lane, rounded up: a tree of that depth has a leaf for each."""
        return max(1, (self.places - 1).bit_length())

    def blocks(self, number: int) -> int:
        """Blocks of a lane in pass `number`."""
        return -(-self.places // (1 << self.sizes[number]))

    @property
    def limit(self) -> int:
        """Bits that are told at most: beyond that there is nothing left that could become key."""
        return self.count + 512

    def pack(self) -> bytes:
        """Return it as octets."""
        head = _HEAD.pack(self.count, self.lanes, len(self.sizes), self.remembered, self.checks, self.ahead)
        return head + bytes(self.sizes)

    @classmethod
    def unpack(cls, said: bytes, count: int) -> tuple[Schedule, int]:
        """Read what `pack` wrote at the beginning of `said`; return it and its length. Broken when it is not one."""
        if len(said) < _HEAD.size:
            raise Broken("no schedule")
        theirs, lanes, passes, remembered, checks, ahead = _HEAD.unpack_from(said)
        sizes = tuple(said[_HEAD.size : _HEAD.size + passes])
        schedule = cls(theirs, lanes, sizes, remembered, checks, ahead)
        if theirs != count:
            raise Broken("the ends hold blocks of different length")
        if lanes not in LANES or not 1 <= len(sizes) == passes <= MOST_PASSES:
            raise Broken("a schedule that cannot be")
        if not (all(1 <= size <= schedule.depth for size in sizes) and remembered <= passes):
            raise Broken("a schedule that cannot be")
        if not (checks == CHECKS or (lanes == 1 and 1 <= checks < CHECKS)):
            raise Broken("a schedule that cannot be")
        return schedule, _HEAD.size + passes


def plan(count: int, qber: float) -> Schedule:
    """Return the schedule for `count` bits of which a share `qber` is expected to differ."""
    qber = min(max(qber, SMALLEST_QBER, 0.5 / max(count, 1)), 0.5)
    lanes = max(lanes for lanes in LANES if lanes == 1 or count >= lanes * SHORTEST)
    places = max(1, -(-count // lanes))
    _, wanted, part = next(row for row in PASSES if qber <= row[0])
    depth = max(1, (places - 1).bit_length())
    first = min(wanted[0], depth)
    sizes = (first, *(size for size in wanted[1:] if first < size < depth))
    checks = CHECKS_SHORT if lanes == 1 else CHECKS
    return Schedule(count, lanes, sizes, min(REMEMBERED, len(sizes)), checks, int(count * entropy(qber) / part))


def entropy(share: float) -> float:
    """Binary entropy, in bits: what a perfect code would tell per bit (Shannon; f = told / that)."""
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share) if 0 < share < 1 else 0.0
