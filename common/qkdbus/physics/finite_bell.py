"""Secret bits of a block of E91: what CHSH and the errors of the key say together about its phase errors.

E91's two key bases (22.5 and 45 degrees) are not complementary, so the errors of one say nothing safe about the phase
errors of the other: an eavesdropper who measures at 22.5 degrees makes no error there. But CHSH looks across. With
polarisers that are what they claim (measurements of a qubit at 0, 22.5, 45, 67.5 degrees), for any state

    E(0, 0) + E(45, 45) = E(22.5, 22.5) + E(67.5, 67.5) = S / sqrt(2).

Key bits of 22.5 degrees have as phase error rate the error rate at 67.5, those of 45 degrees the one at 0. So bit and
phase errors of the key add up to a share 1 - S / (2 sqrt(2)), and with QBER Q the phase error rate is

    e = 1 - S / (2 sqrt(2)) - Q          (Werner state of visibility V: (1 - V) / 2, which is Q).

Finite: every pair is given its two bases at random, whatever came before; the sum over pairs of [key: bit error + phase
error - 1] + [CHSH: signed product of outcomes / sqrt(2)] is a martingale with steps of at most 1 and a variance of at
most 2/9 + 4/9 / 2 each, so Freedman's inequality (Ann. Probab. 3, 100 (1975)) bounds it at (eps_sec / 4)^2; then as in
`finite.sampled`. It holds for general attacks, for detected pairs that are a fair sample. It is not device independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .finite import FINITE, Goal, Secret, from_phase, secret

_VARIANCE = 4 / 9  # of a step: 2/9 of the pairs are key, with at most 1; 4/9 CHSH, with 1/2


@dataclass(frozen=True, slots=True)
class Bell:
    """What is known in public of E91's pairs.

    Attributes:
        pairs: detected at both ends, whatever their bases.
        matched: of these, measured in equal bases.
        compared, wrong: of the matched ones, those whose errors are known, and how many differed.
        s: CHSH value.
        signed: sum of sign times product of outcomes (+1 equal, -1 different) over the CHSH pairs.
    """

    pairs: float
    matched: float
    compared: float
    wrong: float
    s: float
    signed: float

    def phase_errors(self, kept: float, goal: Goal) -> float:
        """Return the phase error rate of `kept` of the matched bits: a bound, or an estimate; not cut to 0 .. 1/2."""
        if not goal.finite:
            return 1 - self.s / math.sqrt(8) - self.wrong / self.compared
        exponent = -2 * math.log(goal.eps_sec / 4)
        deviation = exponent / 3 + math.sqrt((exponent / 3) ** 2 + 2 * exponent * _VARIANCE * self.pairs)
        return (self.matched - self.wrong - self.signed / math.sqrt(2) + deviation) / kept


def e91(kept: float, bell: Bell, told: float, goal: Goal = FINITE) -> Secret:
    """Return the length of `kept` of the matched bits; `told` bits were told about them."""
    if not kept or not bell.compared:
        return secret(0.0, 0.5, goal)
    return from_phase(kept, bell.phase_errors(kept, goal), told, goal)
