"""What an application remembers of a key: keyed digests, from which nobody without the run's secret learns a bit.

Keys are compared as wholes and in windows of 128 bits, so that bits that were used twice are found wherever in a key
they stand, shifted by any number of bits. Of the windows at all bit positions those are kept whose lowest bits are
zero: a sixteenth, and of equal bits the same ones. A key of 256 bits, 129 windows, that comes again shifted has none
in common once in 4,000; the windows at multiples of 128 bits are kept besides.
"""

from __future__ import annotations

import hashlib

WINDOW = 128  # bits
_KEPT = 0xF  # bits that are zero in a window that is kept
_MASK = (1 << WINDOW) - 1


def whole(key: bytes, secret: bytes) -> bytes:
    """Return the digest of a key."""
    return hashlib.blake2b(key, key=secret, digest_size=16).digest()


def parts(key: bytes, secret: bytes) -> tuple[bytes, ...]:
    """Return the digests of the windows of a key that are kept."""
    bits = int.from_bytes(key, "little")
    found = []
    for start in range(8 * len(key) - WINDOW + 1):
        window = (bits >> start) & _MASK
        if not window & _KEPT or not start % WINDOW:
            text = window.to_bytes(WINDOW // 8, "little")
            found.append(hashlib.blake2b(text, key=secret, digest_size=8).digest())
    return tuple(found)
