"""The receiver of weak pulses: chooses a basis, decides by Born's rule, and is blind for a while after a click.

It knows the light (signal.py) and its own basis, not what the source meant by it. Bases, and outcomes that are even,
come from a keystream under the system's generator; wrong outcomes and the times of clicks from the channel's dice.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from qkdbus.physics.setup import PulseSetup

from ...bits import pack, wipe
from ..port import Bases, Bits, Clicks
from .born import differs
from .chance import Dice, Keystream
from .kernels import DIGIT, Draws, Numbers, blind_loop, compiled, digit_loop, gap_tables, join, part
from .signal import BB84, Signal, spread

NEGLIGIBLE = 1e-6  # share of the candidates lost to dead time that nobody could tell from none

TOGETHER = 1 << 15  # candidates on the detectors at once: their arrays stay in the processor's cache


def dead_slots(setup: PulseSetup) -> int:
    """Return the slots from a click to the first one in which the same detector can click again."""
    return ceil(setup.dead_time_s * setup.rate_hz - 1e-6)


def blindness(setup: PulseSetup, click: float) -> float:
    """Return how many candidates fall on a detector while it is blind after one click, if a slot has one with `click`.

    Each falls on one of the detectors of its outcome, evenly: n candidates on it become n / (1 + blindness) clicks.
    """
    return click * max(0, dead_slots(setup) - 1) / (2 * setup.detectors)


class Detector:
    """The detectors of one end."""

    def __init__(self, setup: PulseSetup, keys: Keystream, dice: Dice) -> None:
        self._setup, self._keys, self._dice = setup, keys, dice
        self._ready = np.zeros(2 * setup.detectors, np.int64)  # first slot in which each can click

    def detect(self, signal: Signal) -> Clicks:
        """Measure all of a batch. `signal` is wiped."""
        self._keys.renew()
        words = len(signal.bits)
        mine = self._keys.biased(words, 1 - self._setup.p_z_receiver)
        wrong = self._dice.noise(words, self._setup.misalignment)
        if signal.codes is None:
            # In the state's own basis its bit; in the other one, and without a state, Born's rule says 1/2.
            sure = ~(signal.random | signal.bases ^ mine)
            outcomes = sure & (signal.bits ^ wrong) | ~sure & self._keys.words(words)
            bits = spread(outcomes, signal.count)
            outcomes.fill(0)
        else:
            bits = self._born(signal, spread(mine, signal.count), spread(wrong, signal.count))
        signal.wipe()
        bases = spread(mine, signal.count)
        if blindness(self._setup, signal.count / max(1, signal.sent)) < NEGLIGIBLE:
            return Clicks(signal.count, b"", bases, bits)
        return self._live(signal.count / signal.sent, bits, bases)

    def _born(self, signal: Signal, mine: Bits, wrong: Bits) -> Bits:
        table = np.array([[differs(angle, basis) for basis in BB84] for angle in signal.angles])
        other = table[signal.codes, mine]
        other[spread(signal.random, signal.count) == 1] = 0.5
        turned = self._keys.uniform(signal.count) < other
        outcomes: Bits = spread(signal.bits, signal.count) ^ turned ^ wrong
        return outcomes

    def _live(self, density: float, bits: Bits, bases: Bases) -> Clicks:
        """Return what clicks of candidates that come in a share `density` of the slots. Wipes what it is given.

        When the candidates came was not drawn by the source: nothing there depends on it. Given how many there were
        in so many slots, the gaps between them are geometric (their sum aside, which is all but given).
        """
        clicked = np.empty(len(bits), np.uint8)
        join(bits, bases)
        tables, live = gap_tables(density), 0
        for start in range(0, len(bits), TOGETHER):
            count = min(TOGETHER, len(bits) - start)
            gaps, pixels = self._gaps(tables, count), self._dice.numbers32(-(-count // 2)).view(np.uint16)
            last, live = compiled(blind_loop)(
                gaps,
                pixels,
                self._setup.detectors,
                dead_slots(self._setup),
                self._ready,
                bits,
                clicked,
                start,
                live,
            )
            self._ready -= last  # the next candidate comes after this one
        wipe(bits[live:])
        bits, bases = bits[:live], bases[:live]
        part(bits, bases)
        return Clicks(live, pack(clicked), bases, bits)

    def _gaps(self, tables: list[Draws], count: int) -> Numbers:
        gaps = np.ones(count, np.int64)
        for level, table in enumerate(tables):
            compiled(digit_loop)(self._dice.numbers32(count), table, DIGIT * level, gaps)
        return gaps
