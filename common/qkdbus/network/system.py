"""What a preset is: a published system, where its figures are from, and what was reported of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..physics.setup import PulseSetup, Setup

Origin = Literal["published", "unconfirmed", "assumed", "fitted"]
What = Literal["secret bits/s", "pairs/s", "reach"]


@dataclass(frozen=True, slots=True)
class Point:
    """A figure that was reported: a rate per s at a distance or a loss; "reach" has no rate."""

    length_km: float | None
    loss_db: float | None
    rate: float | None
    what: What = "secret bits/s"
    origin: Origin = "published"


@dataclass(frozen=True, slots=True)
class Preset:
    """A published system.

    Attributes:
        name: as in the network file.
        title: what it is, in a line.
        source: where it was published.
        protocol: of ours, nearest to what ran on it.
        setup: what stands on the bench.
        length_km: of the channel in `setup`; its loss is the setup's.
        db_per_km: of further fibre; None in free space, where loss grows with the square of the distance.
        block: sifted bits in the key basis that make one block.
        origins: where the figures are from, by field (as in `setup`, or `length_km`); a field that is missing has the
            neutral value of such a setup (no dead time, no noise), which is assumed too.
        points: reported figures, for plots.
        note: what else differs from the source.
    """

    name: str
    title: str
    source: str
    protocol: str
    setup: Setup
    length_km: float
    db_per_km: float | None
    block: int
    origins: Mapping[str, Origin]
    points: tuple[Point, ...] = ()
    note: str = ""

    @property
    def loss_db(self) -> float:
        """Loss of the whole channel in dB (both arms with pairs)."""
        return self.setup.loss_db if isinstance(self.setup, PulseSetup) else sum(self.setup.loss_db)

    @property
    def assumed(self) -> dict[str, Origin]:
        """The figures that are not published, and in what sense they are not."""
        return {name: origin for name, origin in self.origins.items() if origin != "published"}

    def loss_at(self, length_km: float) -> float:
        """Return the loss in dB of as long a channel of this kind.

        Fibre has `db_per_km`; in free space the beam spreads with the square of the distance (20 dB for ten times as
        far), and the rest (pointing, atmosphere) is left as it is.
        """
        if self.db_per_km is not None:
            return length_km * self.db_per_km
        return max(0.0, self.loss_db + 20 * math.log10(max(length_km, 1e-3) / self.length_km))
