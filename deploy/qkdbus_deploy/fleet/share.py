"""Who gets what: a plan, split over hosts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..bundles import Bundle, Plan
from ..outcome import Deployed
from ..software.parts import Part
from .record import Seat


@dataclass(frozen=True)
class Share:
    """The shares of a network's hosts.

    Attributes:
        seats: node -> host.
        leaving: nodes that are to be removed -> where they are.
        plan: what each node is to get.
        parts: host -> the software that it needs.
    """

    network: str
    seats: Mapping[str, str]
    leaving: Mapping[str, Seat]
    plan: Plan
    parts: Mapping[str, tuple[Part, ...]]

    def nodes(self, host: str) -> list[str]:
        """Return the nodes of a host."""
        return [node for node, where in self.seats.items() if where == host]

    def bundles(self, host: str) -> list[Bundle]:
        """Return what they are to get."""
        return [self.plan.bundle(node) for node in self.nodes(host)]

    def leave(self, host: str) -> list[str]:
        """Return the nodes that are to be removed from a host."""
        return [node for node, seat in self.leaving.items() if seat.host == host]

    def home(self, host: str) -> str:
        """Return the folder of all networks there."""
        mine = self.bundles(host)
        return str(mine[0].directory.parent.parent) if mine else self.leaving[self.leave(host)[0]].home

    def untouched(self, host: str) -> Deployed:
        """Return what came of it where nothing had to be done."""
        return Deployed(self.network, (), (), sum(len(bundle.programs) for bundle in self.bundles(host)), 0.0)
