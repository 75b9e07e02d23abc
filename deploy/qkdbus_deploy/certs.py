"""CURVE keys of nodes and applications: found where an earlier deploy left them, made where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkdbus.bus.curve import KeyPair
from qkdbus.errors import BadFile
from qkdbus.network.model import Network

NODE_FILE, APPS_FILE, CLIENT_FILE = "certs/node.json", "certs/apps.json", "client.json"
LOCAL_USER = "*"  # the application of whoever deployed: may be any application
AT_DEPLOY = "(made at deploy)"


@dataclass(frozen=True)
class Certs:
    """Every key of a network.

    Attributes:
        nodes: node -> its own pair.
        users: node -> the pair with which the local user comes in there.
        apps: node -> application -> public key, the local user's among them.
    """

    nodes: Mapping[str, KeyPair]
    users: Mapping[str, KeyPair]
    apps: Mapping[str, Mapping[str, str]]


def gather(network: Network, directory: Path, make: Callable[[], KeyPair] = KeyPair.new) -> Certs:
    """Return the keys of a network whose folder is `directory`; missing ones are made, nothing is written.

    Raises BadFile when a file with keys is there and cannot be read: new keys would lock applications out.
    """
    nodes = {name: _node(directory / name, make) for name in network.names}
    client = _entries(directory / CLIENT_FILE).get("nodes", {})
    users = {name: _user(directory / CLIENT_FILE, client, name) or make() for name in network.names}
    apps = {name: {**_known(directory / name / APPS_FILE), LOCAL_USER: users[name].public} for name in network.names}
    return Certs(nodes, users, apps)


def preview() -> KeyPair:
    """Return what stands for a pair that is not made yet (for plans that are only shown)."""
    return KeyPair(AT_DEPLOY, AT_DEPLOY)


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
