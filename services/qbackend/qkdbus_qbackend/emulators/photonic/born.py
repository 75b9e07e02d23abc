"""Born's rule for polarisation: what a half of an entangled pair gives, at either end and under an eavesdropper.

A state on its way is one of: linear at some polariser angle, circular, or mixed (random). |Phi+> measured at an angle
leaves the other half at the same angle with the same outcome; measured in Y, circular with the opposite one. A linear
state at angle t gives the other outcome at angle b with probability sin^2(t - b) (Malus), a circular one 1/2.

What happens on the way, to the travelling half:

* Werner visibility V, depolarising p: replaced by a mixed state with probability 1 - V (1 - p) (so here p replaces by
  the identity, V = 1 - p; Stim's DEPOLARIZE2 would be 1 - 16 p / 15);
* dephasing q: Pauli Z turns an angle t into -t, and circular light round: X and Y are hit, Z is not;
* misalignment e: the outcome is the wrong one with probability e, in any basis.

`correlation` is all of this in closed form; `PairLine` draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..port import A22, A67, X, Y, Z

Floats = npt.NDArray[np.float64]
CODES = 5  # bases of the port
MIXED = 63  # row of the mixed state; rows below are the port's bases, then the eavesdropper's angles
MOST_ANGLES = MIXED - CODES
_ANGLES = {Z: 0.0, X: 45.0, A22: 22.5, A67: 67.5}  # degrees; Y is circular
_CIRCULAR = float("nan")


@dataclass(frozen=True, slots=True)
class Way:
    """What befalls the travelling halves: probabilities; angles in degrees.

    Attributes:
        mixed: replaced by a random state (or never part of a pair: accidental coincidences).
        dephased: turned by Z.
        misaligned: outcome turned at the receiver.
        intercepted: measured by an eavesdropper at one of `angles`, each as likely, and sent on as found.
    """

    mixed: float = 0.0
    dephased: float = 0.0
    misaligned: float = 0.0
    intercepted: float = 0.0
    angles: tuple[float, ...] = (0.0, 45.0)


def differs(state: float, basis: float) -> float:
    """Return P(the other outcome) of a state measured in a basis: both in degrees, NaN circular."""
    if np.isnan(state) or np.isnan(basis):
        return 0.0 if np.isnan(state) and np.isnan(basis) else 0.5
    return float(np.sin(np.deg2rad(state - basis)) ** 2)


def angle(code: int) -> float:
    """Return the polariser angle of one of the port's bases in degrees; NaN for Y."""
    return _ANGLES.get(code, _CIRCULAR)


def correlation(one: int, other: int, way: Way | None = None) -> float:
    """Return E = P(agree) - P(differ) of |Phi+> measured in two of the port's bases: the sender's, the receiver's."""
    way = way or Way()
    mine = angle(one)
    direct = _arrives(mine, other, way) * (-1 if one == Y else 1)
    if way.intercepted:
        seen = [(1 - 2 * differs(mine, eve)) * _arrives(eve, other, way) for eve in way.angles]
        direct = (1 - way.intercepted) * direct + way.intercepted * float(np.mean(seen))
    return direct * (1 - way.mixed) * (1 - 2 * way.misaligned)


def error_rate(one: int, other: int, way: Way | None = None) -> float:
    """Return P(differ) of |Phi+> measured in two of the port's bases: in equal ones the QBER (Y: its complement)."""
    return (1 - correlation(one, other, way)) / 2


def eavesdropping(angles: Sequence[float]) -> Floats:
    """Return P(the eavesdropper's outcome is the other one): shape (bases of the port, her angles)."""
    return np.array([[differs(angle(code), eve) for eve in angles] for code in range(CODES)])


def outcomes_of_states(angles: Sequence[float]) -> Floats:
    """Return P(outcome 1) of every state described in an octet, in every basis: shape (256, bases of the port).

    Octet: 4 row + 2 turned by Z + outcome. Rows: the port's bases, then `angles`; all others are mixed.
    """
    probabilities = np.full((MIXED + 1, 2, 2, CODES), 0.5)
    for row, state in enumerate([*map(angle, range(CODES)), *angles]):
        for code in range(CODES):
            probabilities[row, 0, 0, code] = differs(state, angle(code))
            probabilities[row, 1, 0, code] = _turned(state, angle(code))
    rows = CODES + len(angles)
    probabilities[:rows, :, 1] = 1 - probabilities[:rows, :, 0]
    return probabilities.reshape(256, CODES)


def _turned(state: float, basis: float) -> float:
    """Return P(the other outcome) after Z."""
    return 1 - differs(state, basis) if np.isnan(state) else differs(-state, basis)


def _arrives(state: float, code: int, way: Way) -> float:
    """Return E between what the state was and the receiver's outcome, dephasing on the way."""
    basis = angle(code)
    turned = way.dephased
    return (1 - turned) * (1 - 2 * differs(state, basis)) + turned * (1 - 2 * _turned(state, basis))
