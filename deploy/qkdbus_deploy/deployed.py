"""What an earlier deploy left on this machine, so that the next one keeps it."""

from __future__ import annotations

from pathlib import Path

from qkdbus.errors import BadFile
from qkdbus.network.addresses import Ports
from qkdbus.network.model import Network
from qkdbus.runtime.settings import load


def ports(network: Network, directory: Path) -> dict[str, Ports]:
    """Return the ports of those nodes of a network (whose folder is `directory`) that were deployed before."""
    found = {}
    for name in network.names:
        try:
            found[name] = load(directory / name).ports
        except BadFile:
            continue  # not there, or cut short: it gets new ones
    return found
