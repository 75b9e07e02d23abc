"""What an exchange is to do."""

from __future__ import annotations

from dataclasses import dataclass

from qkdbus.network.model import LinkSettings
from qkdbus.physics.setup import Setup

from .protocols import PairProtocol, PulseProtocol


@dataclass(frozen=True, slots=True)
class Order:
    """`bits` of key, as the link's arbiter (and source of its pairs or pulses) or as its follower.

    Attributes:
        setup: what stands on a photonic link's bench; None on other links.
        expected_qber: of the link, as far as one knows before the exchange; it decides how much is made, no more.
    """

    arbiter: bool
    bits: int
    protocol: PairProtocol | PulseProtocol
    link: LinkSettings
    setup: Setup | None = None
    expected_qber: float = 0.0

    @property
    def fast(self) -> bool:
        """Whether blocks are so large that compiled kernels are worth their import."""
        return self.link.large
