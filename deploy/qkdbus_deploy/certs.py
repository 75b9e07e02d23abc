"""CURVE keys of nodes and applications, and the secrets that the ends of links share.

They are found where an earlier deploy left them, and made where there are none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qkdbus.bus.curve import KeyPair
from qkdbus.bus.known import DOORS_FILE, Doors
from qkdbus.errors import BadFile
from qkdbus.network.model import Network
from qkdbus.network.routes import routes
from qkdbus.presharing import LinkSecret, file_name

FOLDER = "certs"
NODE_FILE, APPS_FILE, CLIENT_FILE = "certs/node.json", "certs/apps.json", "client.json"
NORTH_FILE, DOORS = "certs/north.json", f"{FOLDER}/{DOORS_FILE}"
LOCAL_USER = "*"  # the application of whoever deployed: may be any application
AT_DEPLOY = "(made at deploy)"


@dataclass(frozen=True)
class Certs:
    """Every key of a network.

    Attributes:
        nodes: node -> its own pair.
        users: node -> the pair with which the local user comes in there.
        apps: node -> application -> public key, the local user's among them.
        links: (arbiter, follower) -> what both use to authenticate their classical channel.
        north: node -> the pair of its door for applications, where that is not its own.
        doors: node -> its `doors.json`: keys that were replaced and still let in, neighbours that are shut out.
    """

    nodes: Mapping[str, KeyPair]
    users: Mapping[str, KeyPair]
    apps: Mapping[str, Mapping[str, str]]
    links: Mapping[tuple[str, str], LinkSecret]
    north: Mapping[str, KeyPair] = field(default_factory=dict)
    doors: Mapping[str, str] = field(default_factory=dict)

    def door(self, node: str) -> KeyPair:
        """Return the pair by which applications know a node."""
        return self.north.get(node, self.nodes[node])

    def secret(self, node: str, neighbour: str) -> LinkSecret:
        """Return what the two ends of a link share; KeyError when there is no such link."""
        return self.links[min(node, neighbour), max(node, neighbour)]


def gather(
    network: Network,
    directory: Path,
    make: Callable[[], KeyPair] = KeyPair.new,
    share: Callable[[], LinkSecret] = LinkSecret.new,
) -> Certs:
    """Return the keys of a network whose folder is `directory`; missing ones are made, nothing is written.

    Raises BadFile when a file with keys is there and cannot be read: new keys would lock applications out.
    """
    nodes = {name: _node(directory / name, make) for name in network.names}
    client = _entries(directory / CLIENT_FILE).get("nodes", {})
    users = {name: _user(directory / CLIENT_FILE, client, name) or make() for name in network.names}
    apps = {name: {**_known(directory / name / APPS_FILE), LOCAL_USER: users[name].public} for name in network.names}
    ends = [(route.arbiter, route.follower) for route in routes(network)]
    links = {(one, other): _link(directory, one, other) or share() for one, other in ends}
    north = {name: KeyPair.read(file) for name in network.names if (file := directory / name / NORTH_FILE).exists()}
    doors = {name: read_doors(directory / name).text for name in network.names}
    return Certs(nodes, users, apps, links, north, doors)


def preview() -> KeyPair:
    """Return what stands for a pair that is not made yet (for plans that are only shown)."""
    return KeyPair(AT_DEPLOY, AT_DEPLOY)


def preview_link() -> LinkSecret:
    """Return what stands for a link's secret that is not made yet."""
    return LinkSecret(AT_DEPLOY, AT_DEPLOY)


def read_doors(node: Path) -> Doors:
    """Return what `doors.json` of a node (its folder) says; nothing special without it. BadFile if damaged."""
    file = node / DOORS
    try:
        return Doors.of(json.loads(file.read_text()))
    except FileNotFoundError:
        return Doors()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise BadFile(f"{file}: cannot be read; remove it, and say again who is shut out (`qkdbus expel`)") from None


def link_file(neighbour: str) -> str:
    """Return the file, below a node's folder, with the secret of its link to `neighbour`."""
    return f"{FOLDER}/{file_name(neighbour)}"


def _link(directory: Path, one: str, other: str) -> LinkSecret | None:
    """Return the secret that both ends have.

    When one end has lost its own (or was destroyed and made anew) it has lost its count of what was used, too: then
    both need a new one.
    """
    try:
        found = [LinkSecret.read(directory / node / link_file(peer)) for node, peer in ((one, other), (other, one))]
    except FileNotFoundError:
        return None
    return found[0] if found[0] == found[1] else None


def _node(directory: Path, make: Callable[[], KeyPair]) -> KeyPair:
    file = directory / NODE_FILE
    return KeyPair.read(file) if file.exists() else make()


def _user(file: Path, client: Any, name: str) -> KeyPair | None:
    try:
        return KeyPair(client[name]["public_key"], client[name]["secret_key"]) if name in client else None
    except (KeyError, TypeError):
        raise _unreadable(file) from None


def _known(file: Path) -> dict[str, str]:
    return {str(name): str(key) for name, key in _entries(file).items()}


def _entries(file: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing when it is not there."""
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise _unreadable(file) from None
    if not isinstance(found, dict):
        raise _unreadable(file)
    return found


def _unreadable(file: Path) -> BadFile:
    return BadFile(f"{file}: holds no keys that can be read; restore it, or remove it to have new ones made")
