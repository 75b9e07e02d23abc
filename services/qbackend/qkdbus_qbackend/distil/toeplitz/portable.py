"""The portable path: the product with a Toeplitz matrix as a cyclic convolution of real numbers, by numpy's FFT.

A Toeplitz matrix is a part of a circulant one, whose product is a cyclic convolution. Only the middle of the linear
convolution is wanted, and what wraps around falls outside it, so the transform need not be longer than the seed.

Exactness: a sum of up to `count` products of bits is rounded to a whole number and taken modulo 2. In double precision
the error of a convolution of length N is at most about 3 log2(N) 2^-53 |seed| |bits| (Higham, Accuracy and Stability of
Numerical Algorithms, section 24.1; norms of zeros and ones are at most sqrt(N)), which for N = 2^24 is 2e-7: six
orders of magnitude below the 1/2 that would round wrongly. `tests/qbackend/test_toeplitz.py` measures it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]


def hash_bits(seed: Octets, octets: Octets, count: int, length: int) -> Octets:
    """See `toeplitz.hash_bits`."""
    sums = convolve(seed, octets, count, length)
    bits = np.rint(sums).astype(np.int64).astype(np.uint8) & np.uint8(1)
    sums.fill(0)
    return np.packbits(bits, bitorder="little")


def convolve(seed: Octets, octets: Octets, count: int, length: int) -> Reals:
    """Return the sums over j of T[i, j] x[j], shape (length,), over the reals: whole numbers but for rounding."""
    size = smooth(count + length - 1)
    bits = np.unpackbits(octets, count=count, bitorder="little")
    spectrum = np.fft.rfft(bits, size)
    spectrum *= np.fft.rfft(np.unpackbits(seed, count=count + length - 1, bitorder="little"), size)
    whole = np.fft.irfft(spectrum, size)
    sums: Reals = whole[count - 1 : count - 1 + length].copy()
    for secret in (bits, spectrum, whole):
        secret.fill(0)
    return sums


def smooth(least: int) -> int:
    """Return the smallest even 2^a 3^b 5^c that is not below `least`: sizes that the FFT is fast for."""
    best = 1 << max(1, (least - 1).bit_length())
    five = 2
    while five < best:
        three = five
        while three < best:
            quotient = -(-least // three)
            best = min(best, three << max(0, (quotient - 1).bit_length()))
            three *= 3
        five *= 5
    return best
