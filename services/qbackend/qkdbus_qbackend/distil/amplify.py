"""Privacy amplification: from bits of which an eavesdropper may know something to fewer of which she knows nothing.

Both ends multiply their block by the same random Toeplitz matrix (C. H. Bennett, G. Brassard, C. Crepeau, U. M. Maurer,
IEEE Trans. Inf. Theory 41, 1915 (1995)). Toeplitz matrices are a universal family with a short seed, count + length - 1
bits (H. Krawczyk, CRYPTO 1994). The leftover hash lemma holds for each universal family, against an eavesdropper with
a quantum memory too: from `count` bits with smooth min-entropy H given all that she has, `length` bits are within
2 eps_smooth + 2^-((H - length) / 2 + 1) of uniform and independent of it, the matrix included (R. Renner, PhD thesis,
ETH Zurich 2005; M. Tomamichel, C. Schaffner, A. Smith, R. Renner, IEEE Trans. Inf. Theory 57, 5524 (2011)). How long
the result may be is the caller's affair.

The seed is public, but it has to be independent of the block and of all that was done to the quantum signal: whoever
knows the matrix beforehand can attack just those bits that it will combine. So each block has a seed of its own, drawn
from the system's generator when nothing can change any more: when both ends have verified that they hold the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..bits import octet_count
from ..failure import Broken
from ..protocols.sifting import Token
from ..protocols.talk import Hear, Talk, Tell, Work
from . import toeplitz

Octets = npt.NDArray[np.uint8]


def source(octets: Octets, count: int, length: int, token: Token, *, fast: bool = False) -> Talk[Octets]:
    """The end that draws the seed. Returns the key, shape (length / 8,), SECRET.

    `octets` holds the block, its first `count` bits, lowest bit first; it stays as it is, and is the caller's to wipe.
    The other end must have its block fixed by now. `length`: a multiple of 8. `fast`: see `toeplitz.hash_bits`.
    """
    seed = token(octet_count(toeplitz.seed_bits(count, length)))
    yield Tell(seed)
    key: Octets = yield Work(lambda: toeplitz.hash_bits(seed, octets, count, length, fast=fast))
    return key


def sink(octets: Octets, count: int, length: int, *, fast: bool = False) -> Talk[Octets]:
    """The end that is told the seed. Returns the same key. Broken when the seed is not as long as it has to be."""
    seed: bytes = yield Hear()
    if len(seed) != octet_count(toeplitz.seed_bits(count, length)):
        raise Broken("a seed of another size than the block needs")
    key: Octets = yield Work(lambda: toeplitz.hash_bits(seed, octets, count, length, fast=fast))
    return key
