"""BBM92 (Bennett, Brassard, Mermin, PRL 68, 557 (1992)): both ends of an entangled pair draw from Z and X; 1/2 kept."""

from __future__ import annotations

from .sifting import SameBases

BBM92 = SameBases("bbm92", 2)
