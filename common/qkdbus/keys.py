"""Value types for key material and its names. A secret cannot print itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

KSID_NULL = bytes(16)


def ksid_text(ksid: bytes) -> str:
    """Write a key stream id (16 octets, RFC 9562 order) as a UUID."""
    return str(uuid.UUID(bytes=ksid))


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer of key bits with zeros."""
    buffer[:] = bytes(len(buffer))


@dataclass(slots=True, eq=False)
class Secret:
    """Key bits that may be held and passed on, never shown.

    `value` holds ceil(bits / 8) octets, the first bit in the lowest bit of the first octet
    (ETSI GS QKD 004, Key_buffer).
    """

    value: bytes = field(repr=False)
    bits: int

    def __repr__(self) -> str:
        return f"Secret({self.bits} bits)"

    __str__ = __repr__
