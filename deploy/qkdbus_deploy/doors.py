"""Which TCP ports a node needs to reach, and which it opens to whom. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from qkdbus.runtime.settings import Neighbour, NodeSettings

from .knocking import Door

APPLICATIONS = "applications"


@dataclass(frozen=True)
class Opening:
    """A port of a node that others must be let through to.

    Attributes:
        door: `applications`, or the layer that listens there.
        node: who needs it; "" for applications, which may be anywhere.
        source: the address of that node, "" for any.
    """

    port: int
    door: str
    node: str = ""
    source: str = ""


def needed(settings: NodeSettings, up: Collection[str] | None = None) -> list[Door]:
    """Return the doors of its neighbours (of those that are `up`) that a node needs."""
    return [
        (f"{peer.name} ({layer})", peer.host, port)
        for peer in settings.neighbours
        if up is None or peer.name in up
        for layer, port in _theirs(peer)
    ]


def openings(settings: NodeSettings, neighbours: Collection[NodeSettings]) -> list[Opening]:
    """Return the ports that a node must have open, and to whom; `neighbours` are the nodes at its links."""
    found = [Opening(settings.ports.north, APPLICATIONS)]
    for other in neighbours:
        for layer, port in _theirs(other.neighbour(settings.name)):
            found.append(Opening(port, layer, other.name, other.host))
    return sorted(found, key=lambda one: (one.port, one.node))


def _theirs(peer: Neighbour) -> list[tuple[str, int]]:
    """Return (layer, port) of each door of a neighbour that its own node needs."""
    layers = [("keymanager", peer.ports.keymanager), ("keysync", peer.ports.keysync)]
    layers += [("qbackend", port) for port in peer.ports.qbackend]
    if peer.link.emulator == "simulaqron" and not peer.emulator_socket and peer.arbiter:
        layers.append(("emulator", peer.ports.emulator))
    return layers
