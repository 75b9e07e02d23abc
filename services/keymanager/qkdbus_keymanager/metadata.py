"""What is told about a key beside its bits: JSON, at most as long as the caller can take (reference 1.6)."""

from __future__ import annotations

import json
import math

from qkdbus.wire.record_pb2 import BlockRecord

# What is needed at least, with the longest age (uint32 ms): a caller who is told this size never is again.
NEEDED = len('{"age":4294967295,"hops":0}')
_OLDEST_MS = 0xFFFFFFFF


def block_tail(record: BlockRecord | None, chunk_bytes: int) -> bytes:
    """Return all of a key's metadata that comes after its age: the same for each key of a take.

    `apportioned` is this key's share of the block's totals: its bits / the block's length.
    """
    facts: dict[str, object] = {"hops": 0}
    if record is not None and record.length:
        facts |= _block(record) | {"apportioned": _share(record, chunk_bytes)}
    return b"," + json.dumps(facts, separators=(",", ":")).encode()[1:]


def _block(record: BlockRecord) -> dict[str, object]:
    return {
        "block_id": record.block_id.hex(),
        **({"trace": record.trace[:8].hex()} if record.trace else {}),
        "created": record.created,
        "sifted_out": record.sifted_out,
        "disclosed": record.disclosed,
        "kept": record.kept,
        "length": record.length,
        "qber": record.qber if math.isfinite(record.qber) else None,
        "exchange_duration": round(record.duration, 6),
    }


def _share(record: BlockRecord, chunk_bytes: int) -> dict[str, float]:
    share = chunk_bytes * 8 / record.length
    return {name: round(getattr(record, name) * share, 3) for name in ("created", "sifted_out", "disclosed")}


def describe(age: float, tail: bytes, size: int) -> bytes:
    """Write the metadata of a key of `age` s in at most `size` characters; empty when none would fit."""
    age_ms = min(max(0, int(age * 1000)), _OLDEST_MS)
    full = b'{"age":%d%b' % (age_ms, tail)
    if len(full) <= size:
        return full
    least = b'{"age":%d,"hops":0}' % age_ms
    return least if len(least) <= size else b""
