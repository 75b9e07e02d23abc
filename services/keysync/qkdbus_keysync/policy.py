"""How much key to form, and for whom (agreement, section 5.6). The arbiter alone asks.

Who gets which share is a Policy, which a keysync of one's own may replace: `build(room, policy=...)`. All else here
is pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from .rows import Piece

POOL_PIECES = 1024  # in one entry: bounds its size, unless one chunk takes more


class Need(NamedTuple):
    """A stream with room for chunks. `sid` is never another stream's of the link; priority and min_bps are its QoS."""

    sid: int
    size: int  # octets of a chunk
    room: int  # chunks
    priority: int
    next_index: int
    min_bps: int = 0  # bit/s; 0: none

    @property
    def bits(self) -> int:
        """Bits that fill the room."""
        return 8 * self.size * self.room


class Policy(Protocol):
    """Who gets the key of one link; each link has a Policy of its own, in memory alone."""

    def share(self, bits: int, needs: Sequence[Need], now: float) -> Mapping[int, int]:
        """Return how many chunks each stream gets (by sid), of `bits` that both ends hold now.

        No stream more than its `room`, all together no more than `bits`; what is not given out stays for the next
        time. What is returned is carried out, always. `now`: Unix time, s; it may jump.
        """


class ByPriority:
    """The built-in policy: higher priority first, see `share`."""

    def share(self, bits: int, needs: Sequence[Need], now: float) -> Mapping[int, int]:
        """Share bits out."""
        return share(bits, needs)


def checked(given: Mapping[int, int], bits: int, needs: Sequence[Need]) -> dict[int, int]:
    """Return what a policy gave, without those that get nothing. ValueError when it cannot be so."""
    by_sid = {need.sid: need for need in needs}
    for sid, count in given.items():
        room = by_sid[sid].room if sid in by_sid else 0
        if not 0 <= count <= room:
            raise ValueError(f"the policy gave {count} chunks to stream {sid}, which has room for {room}")
    used = sum(8 * by_sid[sid].size * count for sid, count in given.items())
    if used > bits:
        raise ValueError(f"the policy gave {used} bits of {bits}")
    return {sid: count for sid, count in given.items() if count}


def window(window_bytes: int, chunk_size: int) -> int:
    """Return how many chunks a stream may hold that the slower end has not delivered."""
    return max(2, window_bytes // chunk_size)


def job_bits(needs: Sequence[Need], spare: int, reservoir: int, block_bits: int) -> int:
    """Return how many key bits the next exchange should form; 0: none.

    Args:
        needs: of all streams.
        spare: bits in the reservoir and in exchanges under way.
        reservoir: bits to keep ready besides.
        block_bits: the most that one exchange is asked for.
    """
    lacking = sum(need.bits for need in needs) + reservoir - spare
    if lacking <= 0:
        return 0
    smallest = min((8 * need.size for need in needs), default=1)
    return min(block_bits, max(lacking, smallest))


def share(bits: int, needs: Iterable[Need]) -> dict[int, int]:
    """Share bits out: higher priority first, in proportion to need, what is left over to the neediest.

    Returns:
        chunks for each stream that gets any, by sid.
    """
    given: dict[int, int] = {}
    groups: dict[int, list[Need]] = {}
    for need in needs:
        groups.setdefault(need.priority, []).append(need)
    for _, group in sorted(groups.items(), reverse=True):
        total = sum(need.bits for need in group)
        fair = bits if total > bits else total
        for need in group:
            count = fair * need.bits // total // (8 * need.size)
            given[need.sid] = count
            bits -= 8 * need.size * count
        for need in sorted(group, key=lambda need: (-need.bits, need.sid)):
            if given[need.sid] < need.room and 8 * need.size <= bits:
                given[need.sid] += 1
                bits -= 8 * need.size
    return {sid: count for sid, count in given.items() if count}


def choose(reservoir: Iterable[Piece], wanted: int, least: int, block: Piece | None) -> list[Piece]:
    """Choose and order a pool: of the reservoir, oldest first, what `wanted` bits take besides the block.

    Past POOL_PIECES pieces it stops as soon as there are `least` bits (of one chunk).
    Pieces of whole octets come first, then the longest, so that the others shift as few bits as possible.
    """
    pool = [] if block is None else [block]
    held = 0 if block is None else block.length
    if held < wanted:
        for piece in reservoir:
            pool.append(piece)
            held += piece.length
            if held >= wanted or (len(pool) >= POOL_PIECES and held >= least):
                break
    return sorted(pool, key=lambda piece: (piece.length % 8 != 0, -piece.length if piece.length % 8 else 0))
