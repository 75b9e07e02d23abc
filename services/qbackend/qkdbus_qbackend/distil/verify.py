"""Verification: a universal hash tells whether both ends hold the same bits; 64 of them are given up for its tag.

Let the kept octets be k_1 .. k_m (64-bit words, the last filled with zeros; the key) followed by d (the last 64 bits).
With a random nonzero point x of GF(2^64), told only when both blocks are fixed, the tag is

    t = k_1 x^m + k_2 x^(m-1) + ... + k_m x + d.

Detection: ends whose keys differ, k != k', have equal tags only if x is a root of
(k_1 - k'_1) x^m + ... + (k_m - k'_m) x + (d - d'), a nonzero polynomial of degree at most m with at most m roots
among 2^64 - 1 points: probability <= m / (2^64 - 1), 8e-15 for a block of 2^23 bits (Wegman, Carter, J. Comput. Syst.
Sci. 22, 265 (1981); den Boer, J. Comput. Secur. 2, 65 (1993)). If only d differs, the tags differ for certain.

Independence: the tag is public. The coefficient of d is x^0 = 1, which is invertible: for every x and every key there
is exactly one d that gives t, namely t - (k_1 x^m + ... + k_m x). So if d is uniform and independent of the key
(given all else an eavesdropper knows), then t is uniform and independent of the key: the tag tells nothing of what
is handed up. Giving up d costs exactly the 64 bits that the tag may leak; the key is not shortened otherwise.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..failure import Broken, NoKey
from ..protocols.sifting import Token
from ..protocols.talk import Hear, Talk, Tell
from .field import evaluate

TAG_BITS = 64
_CHALLENGE = struct.Struct("<QQQ")  # octets kept, point, tag
_SAME, _DIFFERENT = b"\x01", b"\x00"
Octets = npt.NDArray[np.uint8]


@dataclass(slots=True)
class Verified:
    """The key that both ends hold: `octets`, shape (kept / 8 - 8,), SECRET; a view of the array that was given."""

    octets: Octets

    def __repr__(self) -> str:
        return f"Verified({len(self.octets)} octets)"


def tag(kept: Octets, point: int) -> int:
    """Return the tag of `kept`, shape (n >= 8,), at `point`: a number of 64 bits."""
    key, given_up = kept[: -TAG_BITS // 8], kept[-TAG_BITS // 8 :]
    words = np.zeros(-(-len(key) // 8) + 1, np.uint64)
    octets = words.view(np.uint8)
    octets[: len(key)] = key
    octets[-TAG_BITS // 8 :] = given_up
    value = evaluate(words, point)
    octets.fill(0)
    return value


def source(kept: Octets, token: Token) -> Talk[Verified]:
    """The end that draws the point. NoKey when the blocks differ."""
    point = 0
    while point == 0:
        point = int.from_bytes(token(8), "little")
    yield Tell(_CHALLENGE.pack(len(kept), point, tag(kept, point)))
    if (yield Hear()) != _SAME:
        raise NoKey("verification")
    return Verified(kept[: -TAG_BITS // 8])


def sink(kept: Octets) -> Talk[Verified]:
    """The end that is told the point and the tag. NoKey when the blocks differ."""
    said = yield Hear()
    if len(said) != _CHALLENGE.size:
        raise Broken("no tag")
    count, point, theirs = _CHALLENGE.unpack(said)
    if point == 0:  # the tag would not depend on the key
        raise Broken("a point that proves nothing")
    same = count == len(kept) and theirs == tag(kept, point)
    yield Tell(_SAME if same else _DIFFERENT)
    if not same:
        raise NoKey("verification")
    return Verified(kept[: -TAG_BITS // 8])
