"""Chance, 64 events a word: bitmaps in which each bit is 1 with a given probability.

Octet o, bit i (from the lowest) of a bitmap stands for event 8 o + i; bits past the last event mean nothing.
Choices that matter to the key come from AES-256 in counter mode, keyed by the system's generator (`Keystream`):
4 to 5 GB/s where os.urandom gives 0.2 to 0.4. Noise of the channel comes from a seed (`Dice`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Words = npt.NDArray[np.uint64]  # bitmap, shape (words,)
Token = Callable[[int], bytes]
KEY, COUNTER = 32, 16  # octets
LEVELS = 12  # bits of a probability that are compared in all lanes at once: 1 lane in 4096 then is open
RARE = 1 / 64  # below this it is cheaper to draw the gaps between the ones
_ZEROS = memoryview(bytes(1 << 20))
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def word_count(events: int) -> int:
    """Words that a bitmap of so many events takes."""
    return -(-events // 64)


class Keystream:
    """Random words: AES-256-CTR under a key from `token`; `renew` takes another key, so that old words are safe."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self.renew()

    def renew(self) -> None:
        """Go on with a new key."""
        secret = self._token(KEY + COUNTER)
        self._stream = Cipher(algorithms.AES(secret[:KEY]), modes.CTR(secret[KEY:])).encryptor()

    def words(self, count: int) -> Words:
        """Return the next `count` words, a new array."""
        octets = 8 * count
        drawn = np.empty(octets + 16, np.uint8)  # the cipher wants room for one more of its blocks
        view = drawn.data
        for start in range(0, octets, len(_ZEROS)):
            self._stream.update_into(_ZEROS[: octets - start], view[start:])
        return drawn[:octets].view(np.uint64)

    def biased(self, words: int, probability: float) -> Words:
        """Return a bitmap of so many words whose bits are 1 with `probability`, exact to 2^-64.

        A lane compares a random number of 64 bits with the probability. The first bits decide in nearly all lanes:
        they are compared from the lowest to the highest, `low` and `high` being what comes out if the rest of the
        number is too large or small enough. Where the two differ, the rest is drawn.
        """
        limit = round(probability * 2**64)
        if limit <= 0 or limit >= 1 << 64:
            return np.full(words, _ALL if limit > 0 else 0, np.uint64)
        first, rest = limit >> (64 - LEVELS), limit & ((1 << (64 - LEVELS)) - 1)
        # Levels below the lowest 1 decide nothing when the rest is 0 too: one level will do for a half.
        skip = 0 if rest else (first & -first).bit_length() - 1
        low, high = np.zeros(words, np.uint64), np.full(words, _ALL, np.uint64)
        for level, row in enumerate(self.words((LEVELS - skip) * words).reshape(LEVELS - skip, words), skip):
            step = np.bitwise_or if first >> level & 1 else np.bitwise_and
            step(row, low, out=low)
            if rest:
                step(row, high, out=high)
        if rest:
            self._settle(low, low ^ high, rest)
        return low

    def _settle(self, low: Words, open_lanes: Words, rest: int) -> None:
        where = np.flatnonzero(open_lanes)
        left = open_lanes[where]
        while len(where):  # one lane of each word a turn
            lane = left & (~left + np.uint64(1))
            less = self.words(len(where)) >> np.uint64(LEVELS) < np.uint64(rest)
            low[where[less]] |= lane[less]
            left ^= lane
            more = left != 0
            where, left = where[more], left[more]

    def uniform(self, count: int) -> npt.NDArray[np.float64]:
        """Return numbers in [0, 1), multiples of 2^-53; shape (count,)."""
        return (self.words(count) >> np.uint64(11)) * 2.0**-53


class Dice:
    """Chance of the channel, from a seed.

    Attributes:
        numbers: numpy's generator, for what is not a bitmap.
    """

    def __init__(self, seed: int, name: str) -> None:
        """`name` keeps apart what is drawn from one seed."""
        digest = hashlib.sha512(f"qkdbus noise of the {name}: {seed}".encode()).digest()
        self.numbers = np.random.Generator(np.random.SFC64(list(digest[KEY + COUNTER :])))
        self._stream = Keystream(lambda count: digest[:count])

    def numbers32(self, count: int) -> npt.NDArray[np.uint32]:
        """Return `count` even numbers of 32 bits."""
        return self._stream.words(-(-count // 2)).view(np.uint32)[:count]

    def noise(self, words: int, probability: float) -> Words:
        """Return a bitmap whose bits are 1 with `probability`."""
        if probability <= 0 or probability >= 1 or RARE <= probability <= 1 - RARE:
            return self._stream.biased(words, probability)
        rare = self._rare(words, min(probability, 1 - probability))
        return rare if probability < RARE else ~rare

    def _rare(self, words: int, probability: float) -> Words:
        """Draw the gaps between the ones: geometric, as whole parts of exponential ones."""
        octets = np.zeros(8 * words, np.uint8)
        last, scale = -1.0, -1 / np.log1p(-probability)
        while last < 64 * words:
            expected = (64 * words - last) * probability
            gaps = self.numbers.standard_exponential(int(expected + 4 * expected**0.5) + 8)
            places = last + np.cumsum(np.floor(gaps * scale) + 1)
            last = places[-1]
            ones = places[places < 64 * words].astype(np.int64)
            np.add.at(octets, ones >> 3, np.left_shift(1, ones & 7).astype(np.uint8))
        return octets.view(np.uint64)
