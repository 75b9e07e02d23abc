"""The checks at the end: 16 parities of random subsets of the block, from which errors hide with probability 2^-16.

Check j of a lane is the parity of a random half of its places, the same places in each lane, so that 64 lanes are
summed at once. But lanes share their blocks too: two places that share a block in every pass can be wrong in two lanes,
and the plain sum of both lanes' checks would be even. So the 16 checks of a lane are taken as an element of GF(2^16),
times an element that the seed draws for that lane; then all lanes are summed. One lane alone is not multiplied.

What stays wrong, for verification to drop: blocks of which a round of checks missed the errors, and no others. Of 1000
bits every second block meets a round with errors at 1 to 2 %, of 4000 bits one in ten; 12 checks miss 1 of 4096. So
1.3e-4 of the blocks of 1000 bits stay wrong, and 5e-5 on average over 1000 to 4000 bits and 0.5 to 5 %. Another check
would tell 1e-3 of such a block to save 6e-5 of them. Cascade without checks leaves more: at 1000 bits and 2 % the
original 6e-3 (f = 1.18), options 7 and 8 of arXiv:1407.3257 3e-4 and 6e-4 (1.37 and 1.54); at 0.5 % 0.11, 5e-4 and
6e-4 (10,000 frames each, github.com/brunorijsman/cascade-cpp, study/data/papers). Here f is 1.19 and 1.43.
"""

from __future__ import annotations

import numpy as np

from .frames import Words
from .order import Codes

WIDTH = 16
_REDUCED = 0b10_1101  # what x^16 is: x^16 + x^5 + x^3 + x^2 + 1 is primitive
_MASK = (1 << WIDTH) - 1


def sums(words: Words, codes: Codes, checks: int) -> Words:
    """Return the parity, lane by lane, of the places of each check; shape (checks,)."""
    found = np.zeros(checks, np.uint64)
    for check in range(checks):
        chosen = (codes >> np.uint16(check) & np.uint16(1)).astype(np.uint64)
        found[check] = np.bitwise_xor.reduce(words & np.negative(chosen))
    return found


def join(found: Words, factors: Words) -> int:
    """Return the sum over all lanes: bit j of it is check j, where there is one lane.

    `factors`, shape (WIDTH,): bit l of factors[t] is the coefficient of x^t of lane l's factor.
    """
    parities = _parity(found[None, :] & factors[:, None])
    whole = 0
    for row in parities[::-1]:  # whole * x + row
        whole = (whole << 1) & _MASK ^ (_REDUCED if whole >> WIDTH - 1 else 0)
        whole ^= int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little")
    return whole


def _parity(words: Words) -> Words:
    for shift in (32, 16, 8, 4, 2, 1):
        words = words ^ words >> np.uint64(shift)
    return words & np.uint64(1)
