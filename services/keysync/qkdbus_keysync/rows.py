"""What the tables hold, as values. Key bits are never part of a repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from qkdbus.wire import keysync_pb2 as wire


class Epoch(NamedTuple):
    """One life of what two ends share: `n` only grows, `r` is random; (0, 0) is none."""

    n: int
    r: int

    def message(self) -> wire.Epoch:
        """Return it as it travels."""
        return wire.Epoch(n=self.n, r=self.r)

    @classmethod
    def of(cls, message: wire.Epoch) -> Epoch:
        """Read it from a message."""
        return cls(message.n, message.r)


NO_EPOCH = Epoch(0, 0)


@dataclass(slots=True)
class LinkRow:
    """The link: `applied` is the follower's last applied entry, at the arbiter as far as acknowledged."""

    arbiter: bool
    epoch: Epoch = NO_EPOCH
    fid: int = 0
    next_job: int = 1
    seq: int = 0
    applied: int = 0
    chain: bytes = b""  # at `seq` (arbiter), at `applied` (follower)
    reservoir_bits: int = 0


class JobRow(NamedTuple):
    """A job of the arbiter: PREPARED, or FORMED once its own block is stored."""

    job: int
    formed: bool
    deadline: float
    bits: int


@dataclass(slots=True)
class Block:
    """The outcome of one exchange, stored and not yet allocated. `length` in bits."""

    job: int
    run: bytes
    length: int
    record: bytes  # a serialised BlockRecord
    bits: bytes = field(repr=False)


class Piece(NamedTuple):
    """A name for bits: `length` bits of block `run` from bit `offset` on."""

    run: bytes
    offset: int
    length: int


@dataclass(slots=True)
class StoredPiece:
    """A piece in hand: a whole block, or what is left of one in the reservoir."""

    piece: Piece
    record: bytes
    since: float
    bits: bytes = field(repr=False)


class StreamRow(NamedTuple):
    """One incarnation of a KSID, the same at both ends."""

    sid: int
    ksid: bytes
    oid_a: bytes
    oid_f: bytes
    chunk_size: int
    closed_a: bool
    closed_f: bool
    next_index: int


class OpenRow(NamedTuple):
    """The local association; its absence is the close. `low`, `floor`: delivered or expired, expired here."""

    oid: bytes
    peer: str
    ksid: bytes
    sid: int | None
    chunk_size: int
    ttl: int
    priority: int
    low: int
    floor: int
    min_bps: int = 0


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A run of chunks that one ledger entry cut; the bits are in `material` under the same id."""

    id: int
    sid: int
    first: int
    count: int
    size: int
    seq: int
    available_at: float | None
    expires_at: float | None
    record: bytes
