"""The source of weak pulses: draws, of a batch, what was sent in the slots that can click, 64 of them at a time.

Intensities, bases and bits come from a keystream under the system's generator, in the distribution that they have
given a candidate (channel.py); whether one is a dark count or a photon, from the channel's dice, given its intensity.
What was sent is remembered until it is asked for, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...bits import unpack, wipe
from ...failure import Broken
from ..port import Sent
from .chance import Dice, Keystream, Words, word_count
from .channel import Light
from .eve import travel
from .kernels import compiled, join, kept_loop, part
from .signal import Signal, spread

Octets = npt.NDArray[np.uint8]
MOST_INTENSITIES = 3


@dataclass(slots=True)
class Prepared:
    """The source's settings in the `count` slots of a batch that can click, as bitmaps: SECRET.

    `decoy` and `vacuum` are 1 for the second and the third intensity; `bases` is 1 for X.
    """

    count: int
    decoy: Words = field(repr=False)
    vacuum: Words = field(repr=False)
    bases: Words = field(repr=False)
    bits: Words = field(repr=False)

    def of(self, which: bytes) -> Sent:
        """Return the settings of the pulses that clicked: a bitmap of the candidates, or nothing for all of them."""
        clicked = unpack(which, self.count) if which else None
        if self.count % 8 and which and which[-1] >> self.count % 8:
            raise Broken("clicks in pulses that were never sent")
        bases, bits = spread(self.bases, self.count), spread(self.bits, self.count)
        intensities = spread(self.decoy, self.count)
        if self.vacuum.any():
            intensities += spread(self.vacuum, self.count)
            intensities += spread(self.vacuum, self.count)
        if clicked is None:
            return Sent(bases, bits, intensities)
        join(bits, bases, intensities)
        count = compiled(kept_loop)(bits, clicked)
        wipe(bits[count:])
        bases, bits, intensities = bases[:count], bits[:count], intensities[:count]
        part(bits, bases, intensities)
        return Sent(bases, bits, intensities)

    def tally(self) -> tuple[int, int, int]:
        """Return how many have each intensity."""
        decoy, vacuum = (int(np.count_nonzero(spread(plane, self.count))) for plane in (self.decoy, self.vacuum))
        return self.count - decoy - vacuum, decoy, vacuum

    def wipe(self) -> None:
        """Forget."""
        for plane in (self.decoy, self.vacuum, self.bases, self.bits):
            plane.fill(0)


def prepare(light: Light, p_z: float, count: int, keys: Keystream) -> Prepared:
    """Draw the settings of `count` candidates."""
    words = word_count(count)
    others = light.intensities[1:]
    keys.renew()
    dimmer = keys.biased(words, sum(others)) if others else np.zeros(words, np.uint64)
    vacuum = np.zeros(words, np.uint64)
    if len(others) > 1 and sum(others) > 0:
        vacuum = dimmer & keys.biased(words, others[1] / sum(others))
    return Prepared(count, dimmer ^ vacuum, vacuum, keys.biased(words, 1 - p_z), keys.words(words))


def emit(prepared: Prepared, light: Light, batch: int, sent: int, dice: Dice) -> Signal:
    """Return the light of `prepared`, as it reaches the receiver."""
    words = len(prepared.bits)
    planes = (~(prepared.decoy | prepared.vacuum), prepared.decoy, prepared.vacuum)
    random = np.zeros(words, np.uint64)
    for plane, probability in zip(planes, light.random, strict=False):
        random |= plane & dice.noise(words, probability)
    signal = Signal(batch, sent, prepared.count, random, prepared.bases.copy(), prepared.bits.copy())
    travel(signal, light, dice)
    return signal
