"""Letting applications in at a node: a CURVE key pair each, its public half in `<node>/certs/apps.json`.

Key managers read that file again whenever it changes, so nothing needs a restart. The credential file holds the
secret half, in the shape of `client.json` with that one node; it can be carried to where the application runs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from qkdbus.bus.curve import KeyPair
from qkdbus.errors import BadFile, Refused

from . import nodes, place
from .certs import APPS_FILE, LOCAL_USER, NODE_FILE
from .locks import locked

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def known(network: Path, node: str) -> dict[str, str]:
    """Return the applications that a node lets in, but for the local user: name -> public key."""
    apps = _apps(nodes.read(network, node).directory / APPS_FILE)
    return {name: key for name, key in sorted(apps.items()) if name != LOCAL_USER}


def add(network: Path, node: str, app: str) -> Path:
    """Let an application in and return its credential file. Refused when the name is taken or cannot be one."""
    if not _NAME.fullmatch(app):
        raise Refused(f"{app!r} cannot be an application's name: letters, digits, '.', '_' and '-', at most 63")
    with locked(network):
        settings = nodes.read(network, node).settings
        apps = _apps(settings.directory / APPS_FILE)
        if app in apps:
            raise Refused(f"{node} knows an application {app!r} already; revoke it first to give it new keys")
        pair = KeyPair.new()
        server_key = KeyPair.read(settings.directory / NODE_FILE).public
        door = {
            "endpoint": f"tcp://{settings.host}:{settings.ports.north}",
            "server_key": server_key,
            "app": app,
            "public_key": pair.public,
            "secret_key": pair.secret,
        }
        file = credential(network, node, app)
        place.make_private(file.parent)
        place.write(file, json.dumps({"network": network.name, "nodes": {node: door}}, indent=2) + "\n")
        _write(settings.directory / APPS_FILE, {**apps, app: pair.public})
    return file


def revoke(network: Path, node: str, app: str) -> None:
    """Let an application in no more, and wipe its credential if that is here. Refused when it is not known."""
    with locked(network):
        file = nodes.read(network, node).directory / APPS_FILE
        apps = _apps(file)
        if app not in apps or app == LOCAL_USER:
            raise Refused(nodes.unknown("application", app, [name for name in apps if name != LOCAL_USER], node))
        _write(file, {name: key for name, key in apps.items() if name != app})
        place.wipe(credential(network, node, app))


def credential(network: Path, node: str, app: str) -> Path:
    """Return where an application's credential for a node is kept."""
    return network / place.CLIENTS / f"{node}.{app}.json"


def _apps(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        raise BadFile(f"{file}: cannot be read; `qkdbus deploy` writes it") from None


def _write(file: Path, apps: dict[str, str]) -> None:
    place.write(file, json.dumps(apps, indent=2) + "\n")
