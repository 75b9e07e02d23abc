"""What an earlier deploy left on this machine, so that the next one keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from qkdbus.errors import BadFile
from qkdbus.network.addresses import Ports
from qkdbus.network.model import Network
from qkdbus.runtime.settings import NodeSettings, load

from . import bundles, nodes
from .bundles import File
from .certs import APPS_FILE, DOORS, FOLDER, NODE_FILE, NORTH_FILE, link_file
from .change import Placed


def ports(network: Network, directory: Path) -> dict[str, Ports]:
    """Return the ports of those nodes of a network (whose folder is `directory`) that were deployed before."""
    found = {}
    for name in network.names:
        try:
            found[name] = load(directory / name).ports
        except BadFile:
            continue  # not there, or cut short: it gets new ones
    return found


def placed(directory: Path, hosts: Mapping[str, str] | None = None) -> dict[str, Placed]:
    """Return the nodes of a network as they are deployed; `hosts`: node -> host, where that is not this machine."""
    return {name: _placed(directory / name, (hosts or {}).get(name, "")) for name in nodes.names(directory)}


def generation(node: Path) -> str:
    """Return the generation that a node's files (in its folder, or a copy of that) make. BadFile when damaged."""
    load(node)
    files = _texts(node).items()
    return bundles.generation(File(path, text, live=path.startswith(FOLDER)) for path, text in files)


def settings(directory: Path) -> dict[str, NodeSettings | None]:
    """Return the settings of a network's nodes; None for a node whose file cannot be read."""
    return {name: _settings(directory / name) for name in nodes.names(directory)}


def _placed(node: Path, host: str) -> Placed:
    return Placed(_settings(node), _texts(node), host)


def _settings(node: Path) -> NodeSettings | None:
    try:
        return load(node)
    except BadFile:
        return None


def _texts(node: Path) -> dict[str, str]:
    """Return the files that a node goes by; those of links that it had once are not among them."""
    paths = [nodes.SETTINGS, nodes.CONFIGURATION, NODE_FILE, NORTH_FILE, APPS_FILE, DOORS]
    with suppress(BadFile):
        paths += [link_file(peer.name) for peer in load(node).neighbours]
    return {path: (node / path).read_text(encoding="utf-8") for path in paths if (node / path).is_file()}
