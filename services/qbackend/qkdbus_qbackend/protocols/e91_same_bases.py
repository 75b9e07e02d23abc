"""The variant of E91 in which both ends draw from the same three bases, here Z, X, Y: 1/3 kept, 2/3 discarded.

With these bases the correlations that would test a Bell inequality do not violate one (reference "physics" section 5:
max S = 2), so the disclosed bits' QBER stands guard alone.
"""

from __future__ import annotations

from .sifting import SameBases

E91_SAME_BASES = SameBases("e91-same-bases", 3)
