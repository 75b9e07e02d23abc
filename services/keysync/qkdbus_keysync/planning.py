"""The arbiter's choices: what the streams lack, what to form, which bits become which chunk. Reads, never writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qkdbus.wire import keysync_pb2 as wire

from . import entries, policy
from .end import Rules
from .material import PIECE_BITS, Material
from .policy import ByPriority, Need, Policy
from .rows import Epoch, Piece
from .tables import Tables


class Planning:
    """Joins the policy to what is in the tables."""

    def __init__(self, tables: Tables, material: Material, shares: Policy | None = None) -> None:
        self._tables = tables
        self._material = material
        self._shares = shares or ByPriority()

    def needs(self, rules: Rules, lows: Mapping[int, int]) -> list[Need]:
        """Return the streams, open at both ends, with room (5.6). `lows`: the follower's low marks by sid."""
        found = []
        for stream in self._tables.streams():
            row = self._tables.open_at(stream.sid)
            if row is None or stream.closed_a or stream.closed_f:
                continue
            low = min(max(row.low, row.floor), lows.get(stream.sid, 0))
            room = policy.window(rules.window_bytes, stream.chunk_size) - (stream.next_index - low)
            if room > 0:
                need = Need(stream.sid, stream.chunk_size, room, row.priority, stream.next_index, row.min_bps)
                found.append(need)
        return found

    def jobs(self, rules: Rules, needs: Sequence[Need], reservoir_bits: int, at_once: int) -> list[tuple[int, int]]:
        """Return key bits and priority of each exchange that should begin now, where `at_once` may run."""
        jobs = self._tables.jobs()
        free = at_once - sum(not row.formed for row in jobs)
        spare = reservoir_bits + sum(row.bits for row in jobs)
        started: list[tuple[int, int]] = []
        while len(started) < free:
            bits = policy.job_bits(needs, spare, rules.reservoir_bits, rules.block_bits)
            if not bits:
                break
            started.append((bits, urgency(needs, spare)))
            spare += bits
        return started

    def allocation(
        self, epoch: Epoch, needs: Sequence[Need], block: tuple[int, Piece] | None, now: float
    ) -> wire.Entry | None:
        """Cut chunks out of the reservoir and of `block` (job, the whole block); None: nothing to decide."""
        wanted = sum(need.bits for need in needs)
        least = min((8 * need.size for need in needs), default=0)
        reservoir = (piece for piece, _ in self._material.reservoir())
        pool = policy.choose(reservoir, wanted, least, block[1] if block else None)
        bits = sum(piece.length for piece in pool)
        given = policy.checked(self._shares.share(bits, needs, now), bits, needs)
        cuts = [(need.sid, need.next_index, given[need.sid], need.size) for need in needs if need.sid in given]
        if block is None and not cuts:
            return None
        used = sum(8 * count * size for _, _, count, size in cuts)
        rest = entries.rest_of(pool, used, PIECE_BITS)
        return entries.alloc_entry(epoch, block, pool, cuts, rest)

    def ageing(self, epoch: Epoch, before: float) -> wire.Entry | None:
        """Wipe, at both ends, what has been in the reservoir since `before`; None: nothing is that old."""
        old: list[Piece] = []
        for piece, since in self._material.reservoir():
            if since > before or len(old) >= policy.POOL_PIECES:
                break
            old.append(piece)
        return entries.alloc_entry(epoch, None, old, [], []) if old else None


def urgency(needs: Sequence[Need], spare: int) -> int:
    """Return the priority of the next exchange: the highest of which `spare` bits do not fill every stream's room.

    0, the lowest, when it is the reservoir alone that lacks any.
    """
    lacking: dict[int, int] = {}
    for need in needs:
        lacking[need.priority] = lacking.get(need.priority, 0) + need.bits
    for priority, bits in sorted(lacking.items(), reverse=True):
        if bits > spare:
            return priority
        spare -= bits
    return 0
