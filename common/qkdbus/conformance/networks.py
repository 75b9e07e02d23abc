"""The network of a stage: Alice and Bob, and a link. Alice, whose name sorts first, is its arbiter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..network.model import Network

ALICE, BOB = "Alice", "Bob"
OTHER = {ALICE: BOB, BOB: ALICE}


def network(link: Mapping[str, Any], layers: Mapping[str, Any] | None = None, **more: Any) -> Network:
    """Return the network, with these link settings, layers, and other parts of a network file."""
    said = {
        "name": "conform",
        "nodes": [
            {"node_name": ALICE, "neighbour_nodes": [BOB]},
            {"node_name": BOB, "neighbour_nodes": [ALICE]},
        ],
        "link_defaults": dict(link),
        "layers": dict(layers or {}),
        **more,
    }
    return Network.model_validate(said)
