"""E91 in full (Ekert, PRL 67, 661 (1991)): three bases each, two of them shared; Bell's theorem watches the rest.

Polariser angles, each drawn with probability 1/3 from the system's generator (|Phi+>, so equal angles agree; Ekert's
singlet has Bob's outcomes turned over):

                   B1 22.5       B2 45       B3 67.5
    A1  0          CHSH          -           CHSH
    A2 22.5        key           -           -
    A3 45          CHSH          key         CHSH

Key 2/9 of the pairs, CHSH 4/9: their outcomes are told in public. The other 3/9 are discarded. The sink says its bases
only after it has measured; the source says its own, and its outcomes of the CHSH pairs, only after it has measured and
heard the sink's bases; then the sink says its outcomes of these. See `chsh` for what S proves and what it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..bits import Bits, octet_count, pack, unpack, wipe
from ..emulators.port import A22, A67, LINEAR, Pairs, X, Z
from .chsh import Correlations
from .sifting import Choices, Sifted, Token, draw, read_choices, write_choices
from .talk import Hear, Measure, Talk, Tell

ALICE = np.array([Z, A22, X], np.uint8)
BOB = np.array([A22, X, A67], np.uint8)


@dataclass(frozen=True, slots=True)
class FullE91:
    """The protocol; it has nothing to set."""

    name: str = "e91"

    @property
    def signal(self) -> Literal["pairs"]:
        """It runs on entangled pairs."""
        return "pairs"

    @property
    def bases(self) -> frozenset[int]:
        """Bases that are measured at either end."""
        return LINEAR

    @property
    def kept(self) -> float:
        """Expected share of the pairs that go into the key: equal bases."""
        return 2 / 9

    @property
    def disclosed_share(self) -> float:
        """Expected share of the pairs whose outcomes are told for CHSH."""
        return 4 / 9

    def source(self, pairs: Pairs, token: Token) -> Talk[Sifted]:
        """The end that made the pairs: Alice."""
        mine = draw(pairs.count, 3, token)
        outcomes: Bits = yield Measure(pairs, ALICE[mine])
        theirs = read_choices((yield Hear()), pairs.count, 3)
        ours = outcomes[_tested(mine, theirs)]
        yield Tell(write_choices(mine, 3) + pack(ours))
        others = unpack((yield Hear()), len(ours))
        return _sift(pairs, outcomes, mine, theirs, ours ^ others)

    def sink(self, pairs: Pairs, token: Token) -> Talk[Sifted]:
        """The end that the pairs are sent to: Bob."""
        mine = draw(pairs.count, 3, token)
        outcomes: Bits = yield Measure(pairs, BOB[mine])
        yield Tell(write_choices(mine, 3))
        said, length = (yield Hear()), 2 * octet_count(pairs.count)
        theirs = read_choices(said[:length], pairs.count, 3)
        ours = outcomes[_tested(theirs, mine)]
        others = unpack(said[length:], len(ours))
        yield Tell(pack(ours))
        return _sift(pairs, outcomes, theirs, mine, ours ^ others)


E91 = FullE91()


def _tested(alice: Choices, bob: Choices) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which pairs are for CHSH: A1 or A3 with B1 or B3, the even ones of 0 1 2."""
    return ((alice | bob) & 1) == 0  # type: ignore[no-any-return]


def _sift(pairs: Pairs, outcomes: Bits, alice: Choices, bob: Choices, differ: Bits) -> Sifted:
    kept = outcomes[alice == bob + 1]  # (A2, B1) and (A3, B2): the same angle
    wipe(outcomes)
    tested = _tested(alice, bob)
    combinations = alice[tested] + bob[tested] // 2  # 2 (alice / 2) + bob / 2, as both are 0 or 2
    evidence = Correlations.count(combinations, differ)
    return Sifted(pairs.batch, pairs.count, kept, len(differ), evidence, sent=pairs.sent)
