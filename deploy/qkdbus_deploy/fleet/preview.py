"""What `deploy` would make of a network on hosts now, as far as that can be told without connecting to any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qkdbus.network.model import Network

from .. import deployed, preview
from ..bundles import Plan
from . import guessing, seating
from .record import Record
from .seating import Variables


@dataclass(frozen=True)
class Foreseen:
    """A plan, and where its nodes go.

    Attributes:
        seats: node -> host.
        pythons: node -> the interpreter that it had at the last deploy; "" for a node that was not there.
    """

    plan: Plan
    seats: Mapping[str, str]
    pythons: Mapping[str, str]


def foresee(home: Path, network: Network, known: Record, hosts: Mapping[str, Variables]) -> Foreseen:
    """Return the plan; `hosts`: those of the inventory. Refused when a node has no host there."""
    folder = home / network.name
    if known.machines is not None:
        network, hosts = _with_machines(network, hosts)
    seats = seating.match(network, hosts)
    stay = {name for name, seat in known.seats.items() if seats.get(name) == seat.host}
    places = {
        node.node_name: guessing.place(folder, known, node, seats[node.node_name], hosts[seats[node.node_name]])
        for node in network.nodes
    }
    kept = {name: ports for name, ports in deployed.ports(network, folder).items() if name in stay}
    made = preview.at(
        home, network, places, seating.allot(network, {node: place.host for node, place in places.items()}, kept, {})
    )
    return Foreseen(made, seats, {name: known.seats[name].python if name in stay else "" for name in seats})


def _with_machines(network: Network, hosts: Mapping[str, Variables]) -> tuple[Network, Mapping[str, Variables]]:
    """Return the network as it is on machines that OSM has made: at their addresses; others are still to be made."""
    known = {name: hosts.get(name, {}) for name in network.names}
    nodes = tuple(
        node.model_copy(update={"node_ip": str(known[node.node_name].get("ansible_host") or "")})
        for node in network.nodes
    )
    return network.model_copy(update={"nodes": nodes}), known
