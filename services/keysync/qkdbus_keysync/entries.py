"""Ledger entries and the chain over them (agreement, sections 2 and 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from qkdbus.wire import keysync_pb2 as wire

from .rows import Epoch, Piece
from .sane import bounded


class LostState(Exception):
    """Raised when an entry does not fit what this end holds: it, or the other end, has lost something."""


def first_chain(epoch: Epoch) -> bytes:
    """Return the chain before the first entry of an epoch."""
    return hashlib.sha256(epoch.n.to_bytes(8, "little") + epoch.r.to_bytes(8, "little")).digest()


def next_chain(chain: bytes, seq: int, entry: bytes) -> bytes:
    """Return the chain after an entry."""
    return hashlib.sha256(chain + seq.to_bytes(8, "little") + entry).digest()


def parse(entry: bytes) -> wire.Entry:
    """Read an entry. LostState: it is none."""
    try:
        parsed = wire.Entry.FromString(entry)
    except DecodeError:
        raise LostState("malformed entry") from None
    kind = parsed.WhichOneof("kind")
    if kind is None or not bounded(parsed):
        raise LostState("entry of an unknown kind, or with absurd numbers")
    return parsed


def sid_message(epoch: Epoch, sid: int) -> wire.Sid:
    """Name a stream as it travels."""
    return wire.Sid(epoch=epoch.message(), seq=sid)


def open_entry(epoch: Epoch, seq: int, ksid: bytes, oid_a: bytes, oid_f: bytes, chunk_size: int) -> wire.Entry:
    """Pair two associations; the stream is named by this entry's number."""
    sid = sid_message(epoch, seq)
    opened = wire.OpenEntry(sid=sid, ksid=ksid, oid_a=oid_a, oid_f=oid_f, chunk_size=chunk_size)
    return wire.Entry(open=opened)


def close_entry(epoch: Epoch, sid: int, *, follower: bool) -> wire.Entry:
    """Close one end of a stream."""
    return wire.Entry(close=wire.CloseEntry(sid=sid_message(epoch, sid), follower=follower))


def alloc_entry(
    epoch: Epoch,
    block: tuple[int, Piece] | None,
    pool: Sequence[Piece],
    cuts: Sequence[tuple[int, int, int, int]],
    rest: Sequence[Piece],
) -> wire.Entry:
    """Say which bits become which chunk.

    Args:
        epoch: of the link.
        block: (job, the whole block) when the pool has a block in it.
        pool: the bits, in order; cuts are taken from its front.
        cuts: (sid, first index, count, octets of a chunk).
        rest: what becomes reservoir; bits of the pool that are neither cut nor here are wiped.
    """
    alloc = wire.AllocEntry(job=block[0] if block else 0, run=block[1].run if block else b"")
    alloc.pieces.extend(_piece(piece) for piece in pool)
    for sid, first, count, size in cuts:
        alloc.cuts.append(wire.Cut(sid=sid_message(epoch, sid), first=first, count=count, bytes=size))
    alloc.rest.extend(_piece(piece) for piece in rest)
    return wire.Entry(alloc=alloc)


def _piece(piece: Piece) -> wire.Piece:
    return wire.Piece(run=piece.run, offset=piece.offset, length=piece.length)


def rest_of(pool: Sequence[Piece], used: int, longest: int) -> list[Piece]:
    """Name what is left of a pool after its first `used` bits, in pieces of at most `longest` bits."""
    rest: list[Piece] = []
    for piece in pool:
        gone = min(used, piece.length)
        used -= gone
        for offset in range(gone, piece.length, longest):
            length = min(longest, piece.length - offset)
            rest.append(Piece(piece.run, piece.offset + offset, length))
    return rest
