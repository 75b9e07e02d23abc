"""Verification: a universal hash tells whether both ends hold the same bits, at the price of the 64 bits of its tag.

Let k_1 .. k_m be the kept octets but the last eight, as 64-bit words (the last of them filled with zeros), and d the
last eight. With a random nonzero point x of GF(2^64), told only when both blocks are fixed, the tag is

    t = k_1 x^m + k_2 x^(m-1) + ... + k_m x + d.

Detection: ends whose blocks differ have equal tags only if x is a root of (k_1 - k'_1) x^m + ... + (d - d'), a nonzero
polynomial of degree at most m with at most m roots among 2^64 - 1 points: probability <= m / (2^64 - 1), 8e-15 for a
block of 2^23 bits (Wegman, Carter, J. Comput. Syst. Sci. 22, 265 (1981); den Boer, J. Comput. Secur. 2, 65 (1993)).

Cost: the tag is public, 64 bits about the block. Privacy amplification makes the key shorter by as many (`secrecy`).
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from ..failure import Broken, NoKey
from ..protocols.sifting import Token
from ..protocols.talk import Hear, Talk, Tell
from .field import evaluator

TAG_BITS = 64
WORD = 8  # octets
_CHALLENGE = struct.Struct("<QQQ")  # octets kept, point, tag
_SAME, _DIFFERENT = b"\x01", b"\x00"
Octets = npt.NDArray[np.uint8]


def tag(kept: Octets, point: int, *, fast: bool = False) -> int:
    """Return the tag of `kept`, shape (n >= 8,), at `point`: a number of 64 bits. `fast`: with the compiled kernel."""
    whole = len(kept) - WORD
    words = np.zeros(-(-whole // WORD) + 1, np.uint64)
    octets = words.view(np.uint8)
    octets[:whole] = kept[:whole]
    octets[-WORD:] = kept[whole:]
    value = evaluator(fast=fast)(words, point)
    octets.fill(0)
    return value


def source(kept: Octets, token: Token, *, fast: bool = False) -> Talk[None]:
    """The end that draws the point. NoKey when the blocks differ."""
    point = 0
    while point == 0:
        point = int.from_bytes(token(8), "little")
    yield Tell(_CHALLENGE.pack(len(kept), point, tag(kept, point, fast=fast)))
    if (yield Hear()) != _SAME:
        raise NoKey("verification")


def sink(kept: Octets, *, fast: bool = False) -> Talk[None]:
    """The end that is told the point and the tag. NoKey when the blocks differ."""
    said = yield Hear()
    if len(said) != _CHALLENGE.size:
        raise Broken("no tag")
    count, point, theirs = _CHALLENGE.unpack(said)
    if point == 0:  # the tag would not depend on the key
        raise Broken("a point that proves nothing")
    same = count == len(kept) and theirs == tag(kept, point, fast=fast)
    yield Tell(_SAME if same else _DIFFERENT)
    if not same:
        raise NoKey("verification")
