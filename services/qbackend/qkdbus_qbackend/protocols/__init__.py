"""Protocols: what each end does with its halves of the pairs, and what the ends say to each other about it."""

from __future__ import annotations

from .bbm92 import BBM92
from .e91_same_bases import E91_SAME_BASES
from .sifting import SameBases, Sifted

PROTOCOLS: dict[str, SameBases] = {protocol.name: protocol for protocol in (BBM92, E91_SAME_BASES)}

__all__ = ["PROTOCOLS", "SameBases", "Sifted"]
