"""Where a node would be on a host that nobody has looked at now: as it was there, or as most are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qkdbus.errors import QkdbusError
from qkdbus.network.model import Node

from .. import nodes
from ..plan import Place
from . import seating
from .record import Record
from .seating import Variables


def place(network: Path, known: Record, node: Node, host: str, variables: Variables) -> Place:
    """Return the place that a host is for a node; `network` is the folder of the network on this machine."""
    address = str(variables.get("qkdbus_address") or node.node_ip or variables.get("ansible_host") or host)
    try:
        before = nodes.read(network, node.node_name).settings
    except QkdbusError:
        return replace(seating.GUESSED, host=address)
    seat = known.seats.get(node.node_name)
    python = seat.python if seat is not None else seating.GUESSED.python
    return Place(before.directory.parent.parent, before.run.parent, python, address, before.bind)
