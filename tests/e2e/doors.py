"""The doors of a node."""

from __future__ import annotations

from qkdbus.contracts import keymanager, keysync, qbackend
from qkdbus.contracts.contract import Contract
from qkdbus.runtime.settings import NodeSettings


def tcp_doors(node: NodeSettings) -> dict[str, tuple[int, Contract]]:
    """Every TCP port of a node, and what is spoken there."""
    ports = node.ports
    return {
        "north": (ports.north, keymanager.CONTRACT),
        "keymanager": (ports.keymanager, keymanager.PEER),
        "keysync": (ports.keysync, keysync.PEER),
        "qbackend": (ports.qbackend[0], qbackend.PEER),
    }
