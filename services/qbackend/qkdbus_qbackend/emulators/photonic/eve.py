"""What befalls the light on its way: an eavesdropper who measures it and sends it on, then dephasing in the fibre.

Both act on the states in the signal, pulse by pulse; nothing is told to either end but by what they then measure.
"""

from __future__ import annotations

import numpy as np

from qkdbus.errors import Refused

from .born import differs
from .chance import Dice, Words, word_count
from .channel import Light
from .signal import BB84, Codes, Signal, gather, spread

MOST_ANGLES = 127  # hers and their mirror images, beside Z and X, are named by one octet


def travel(signal: Signal, light: Light, dice: Dice) -> None:
    """Change the states of `signal` as the way does."""
    if light.intercepted and signal.count:
        intercept(signal, light, dice)
    if light.dephased and signal.count:
        dephase(signal, dice.noise(word_count(signal.count), light.dephased))


def intercept(signal: Signal, light: Light, dice: Dice) -> None:
    """Measure a share of the states at her angles by Born's rule, and send on what was found.

    She sends as much light as she took, so that the gain does not change. Dark counts never passed her.
    """
    if len(light.angles) > MOST_ANGLES:
        raise Refused(f"an eavesdropper with more than {MOST_ANGLES} angles")
    caught = dice.noise(len(signal.random), light.intercepted) & ~signal.random
    places = np.flatnonzero(spread(caught, signal.count))
    bases, bits = spread(signal.bases, signal.count), spread(signal.bits, signal.count)
    chosen = dice.numbers.integers(len(light.angles), size=len(places), dtype=np.uint8)
    wrong = np.array([[differs(state, hers) for hers in light.angles] for state in BB84])
    other = dice.numbers.random(len(places)) < wrong[bases[places], chosen]
    found = bits[places] ^ other
    if all(angle % 45 == 0 for angle in light.angles):
        # Her states are those of Z and X: 90 degrees are Z with the bit turned, and so on.
        quarters = np.array([int(angle % 180) // 45 for angle in light.angles], np.uint8)[chosen]
        bases[places], bits[places] = quarters & 1, found ^ (quarters >> 1)
        signal.bases = gather(bases)
    else:
        signal.angles = (*BB84, *light.angles, *(-angle for angle in light.angles))
        bits[places], bases[places] = found, chosen + np.uint8(len(BB84))
        signal.codes = bases
    signal.bits = gather(bits)


def dephase(signal: Signal, turned: Words) -> None:
    """Let Z act where `turned` is 1: it turns an angle t into -t, so X's bit, and not Z's."""
    if signal.codes is None:
        signal.bits ^= signal.bases & turned
        return
    hit = spread(turned, signal.count).astype(bool)
    signal.bits ^= gather(hit & (signal.codes == 1))
    signal.codes = _mirrored(signal.codes, hit, (len(signal.angles) - len(BB84)) // 2)


def _mirrored(codes: Codes, hit: np.typing.NDArray[np.bool_], hers: int) -> Codes:
    """Return the codes with hers, where hit, replaced by those of the mirror images, which follow them."""
    mirrored: Codes = np.where(hit & (codes >= len(BB84)), codes + np.uint8(hers), codes)
    return mirrored
