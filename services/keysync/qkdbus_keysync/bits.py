"""Cut and join strings of bits: the first bit is the lowest bit of the first octet (ETSI GS QKD 004, Key_buffer).

Whole octets take the fast way (slices); anything else goes through Python's integers, whose little-endian
reading is exactly this order of bits.
"""

from __future__ import annotations

from collections.abc import Iterable


def octets(length: int) -> int:
    """Octets that hold `length` bits."""
    return (length + 7) // 8


def cut(bits: bytes, offset: int, length: int) -> bytes:
    """Return `length` bits from bit `offset` on, packed anew; bits above the last one are zero."""
    if offset % 8:
        value = int.from_bytes(bits[offset // 8 : octets(offset + length)], "little") >> (offset % 8)
        return (value & ((1 << length) - 1)).to_bytes(octets(length), "little")
    part = bits[offset // 8 : offset // 8 + octets(length)]
    if length % 8:
        part = part[:-1] + bytes((part[-1] & ((1 << length % 8) - 1),))
    return part


def join(parts: Iterable[tuple[bytes, int]]) -> bytes:
    """Join strings of bits, each given as (octets, length in bits with no bit set above it)."""
    whole: list[bytes] = []
    carry, carried = 0, 0  # fewer than 8 bits that do not fill an octet yet
    for part, length in parts:
        if carried == 0 and length % 8 == 0:
            whole.append(part)
            continue
        value = carry | int.from_bytes(part, "little") << carried
        full, carried = divmod(carried + length, 8)
        whole.append((value & ((1 << 8 * full) - 1)).to_bytes(full, "little"))
        carry = value >> 8 * full
    if carried:
        whole.append(bytes((carry,)))
    return b"".join(whole)
