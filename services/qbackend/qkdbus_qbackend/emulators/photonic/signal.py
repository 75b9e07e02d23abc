"""The description of a batch of weak pulses, from the source's emulator to the sink's over the quantum plane.

It tells the state of the light in each slot that can click, three bits for most: nothing of the intensities, which
light does not carry, and nothing that the sink's protocol ever sees. The plane is trusted, as a fibre is: whoever
reads it is outside of the physics.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...bits import octet_count
from ...failure import Broken
from .chance import Words, word_count

_HEAD = struct.Struct("<QQII")  # batch, pulses sent, candidates, angles
Codes = npt.NDArray[np.uint8]
BB84 = (0.0, 45.0)  # polariser angles of Z and X, degrees


@dataclass(slots=True)
class Signal:
    """Light in `count` slots out of `sent`; bitmaps as in chance.py, SECRET.

    Attributes:
        random: light of random state, or a dark count: outcomes are even in every basis.
        bases: 1 is X; without `codes`.
        bits: the outcome in the state's own basis. (Angle t with bit 1 is polarised at t + 90 degrees.)
        angles: degrees; more than those of Z and X only if somebody sent on other states.
        codes: index into `angles` of every state, shape (count,), if there are more than two.
    """

    batch: int
    sent: int
    count: int
    random: Words = field(repr=False)
    bases: Words = field(repr=False)
    bits: Words = field(repr=False)
    angles: tuple[float, ...] = BB84
    codes: Codes | None = field(default=None, repr=False)

    def pack(self) -> bytes:
        """Write the description."""
        octets = octet_count(self.count)
        planes = [self.random, self.bits]
        if self.codes is None:
            planes.append(self.bases)
        parts = [_HEAD.pack(self.batch, self.sent, self.count, 0 if self.codes is None else len(self.angles))]
        parts += [plane.view(np.uint8)[:octets].tobytes() for plane in planes]
        if self.codes is not None:
            parts += [np.array(self.angles, "<f8").tobytes(), self.codes.tobytes()]
        return b"".join(parts)

    @classmethod
    def unpack(cls, body: bytes) -> Signal:
        """Read a description. Broken when it is none."""
        if len(body) < _HEAD.size:
            raise Broken("no description of pulses")
        batch, sent, count, angles = _HEAD.unpack_from(body)
        octets = octet_count(count)
        planes = 2 if angles else 3
        rest = _HEAD.size + planes * octets
        if len(body) != rest + (8 * angles + count if angles else 0) or count > sent:
            raise Broken("a description of pulses that does not fit")
        random, bits, *bases = (_plane(body, _HEAD.size + row * octets, count) for row in range(planes))
        if not angles:
            return cls(batch, sent, count, random, bases[0], bits)
        table = tuple(float(angle) for angle in np.frombuffer(body, "<f8", angles, rest))
        codes = np.frombuffer(body, np.uint8, count, rest + 8 * angles)
        if count and codes.max() >= angles:
            raise Broken("a state without an angle")
        return cls(batch, sent, count, random, np.zeros_like(bits), bits, table, codes)

    def wipe(self) -> None:
        """Overwrite what is ours."""
        for plane in (self.random, self.bases, self.bits, self.codes):
            if plane is not None and plane.flags.writeable:
                plane.fill(0)


def spread(plane: Words, count: int) -> npt.NDArray[np.uint8]:
    """Return the first `count` bits of a bitmap, one an octet."""
    return np.unpackbits(plane.view(np.uint8), count=count, bitorder="little")


def gather(bits: npt.NDArray[np.uint8] | npt.NDArray[np.bool_]) -> Words:
    """Return a bitmap of bits, one an octet."""
    plane = np.zeros(word_count(len(bits)), np.uint64)
    packed = np.packbits(bits, bitorder="little")
    plane.view(np.uint8)[: len(packed)] = packed
    return plane


def _plane(body: bytes, start: int, count: int) -> Words:
    plane = np.zeros(word_count(count), np.uint64)
    plane.view(np.uint8)[: octet_count(count)] = np.frombuffer(body, np.uint8, octet_count(count), start)
    return plane
