"""protobuf's wire format by hand, right and wrong: what no protobuf library would write."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

VARINT, FIXED64, DELIMITED, START_GROUP, END_GROUP, FIXED32 = range(6)
INTEGERS = (0, 1, 2, 3, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
FLOATS = (0.0, -0.0, -1.0, 0.5, 1.0, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
NESTED = 300  # groups and messages deep: beyond what protobuf reads

Field = tuple[int, int, bytes]  # number, wire type, what follows the tag


def varint(number: int) -> bytes:
    """Write a number below 2^64 (or a longer one, which is none)."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, kind: int, value: bytes) -> bytes:
    """Write a field; `value` is what follows the tag, for DELIMITED without its length."""
    tag = varint(number << 3 | kind)
    return tag + varint(len(value)) + value if kind == DELIMITED else tag + value


def take_apart(octets: bytes) -> Iterator[Field]:
    """Yield the fields of a message; ends silently where it cannot be read."""
    at = 0
    while at < len(octets):
        tag, at = _varint(octets, at)
        number, kind, start = tag >> 3, tag & 7, at
        if kind == VARINT:
            _, at = _varint(octets, at)
            yield number, kind, octets[start:at]
        elif kind == DELIMITED:
            length, at = _varint(octets, at)
            yield number, kind, octets[at : at + length]
            at += length
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
            yield number, kind, octets[start:at]
        else:
            return


def _varint(octets: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(octets):
        octet = octets[at]
        number |= (octet & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if octet < 0x80:
            break
    return number, at


def wrong(dice: random.Random, number: int) -> bytes:
    """Return a field as no schema has it."""
    kind = dice.randrange(9)
    if kind == 0:  # a varint without end
        return field(number, VARINT, b"\xff" * dice.choice((10, 11, 60)))
    if kind == 1:  # longer than all that follows
        return varint(number << 3 | DELIMITED) + varint(dice.choice((1, 200, 2**31, 2**63))) + b"x"
    if kind == 2:  # deeper than protobuf reads
        return varint(number << 3 | START_GROUP) * NESTED
    if kind == 3:
        return varint(number << 3 | END_GROUP)
    if kind == 4:  # wire types 6 and 7 do not exist
        return varint(number << 3 | dice.choice((6, 7))) + dice.randbytes(4)
    if kind == 5:  # a field that nobody knows
        return field(dice.choice((0, 19_000, 2**29 - 1, 77)), DELIMITED, dice.randbytes(dice.choice((0, 9, 400))))
    if kind == 6:
        return field(number, FIXED64, struct.pack("<d", dice.choice(FLOATS)))
    if kind == 7:
        return field(number, VARINT, varint(dice.choice(INTEGERS)))
    return field(number, DELIMITED, nested(number, dice.choice((2, 60, NESTED))))


def nested(number: int, depth: int) -> bytes:
    """Return a message in a message in a message."""
    octets = b""
    for _ in range(depth):
        octets = field(number, DELIMITED, octets)
    return octets


def scramble(dice: random.Random, octets: bytes) -> bytes:
    """Damage octets as a broken wire or a bored enemy would."""
    kind = dice.randrange(5)
    if not octets or kind == 0:
        return octets[: dice.randrange(len(octets) + 1)]
    broken = bytearray(octets)
    if kind == 1:
        for _ in range(dice.randint(1, 4)):
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
    elif kind == 2:
        at = dice.randrange(len(broken) + 1)
        broken[at:at] = dice.randbytes(dice.choice((1, 2, 9, 40)))
    elif kind == 3:
        at = dice.randrange(len(broken))
        del broken[at : at + dice.randint(1, 8)]
    else:
        broken += broken[dice.randrange(len(broken)) :]
    return bytes(broken)
