"""Letting applications in at a node: a CURVE key pair each, its public half in `<node>/certs/apps.json`.

Key managers read that file again whenever it changes, so nothing needs a restart; a key that was replaced is good for
a while yet (`<node>/certs/doors.json`). The credential file holds the secret half, in the shape of `client.json` with
that one node; it can be carried to where the application runs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qkdbus.bus.curve import KeyPair
from qkdbus.bus.known import Doors, Former
from qkdbus.errors import BadFile, Refused

from . import nodes, place
from .certs import APPS_FILE, DOORS, LOCAL_USER, NODE_FILE, NORTH_FILE, read_doors
from .locks import locked
from .nodes import Node

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def known(network: Path, node: str) -> dict[str, str]:
    """Return the applications that a node lets in, but for the local user: name -> public key."""
    apps = _apps(nodes.read(network, node).directory / APPS_FILE)
    return {name: key for name, key in sorted(apps.items()) if name != LOCAL_USER}


def former(network: Path, node: str, now: float) -> dict[str, float]:
    """Return the applications whose former key is still good -> until when (Unix time, s)."""
    doors = read_doors(nodes.read(network, node).directory)
    return {one.name: one.until for one in doors.former.values() if one.door == "north" and one.until > now}


def add(network: Path, node: str, app: str) -> Path:
    """Let an application in and return its credential file. Refused when the name is taken or cannot be one."""
    if not _NAME.fullmatch(app):
        raise Refused(f"{app!r} cannot be an application's name: letters, digits, '.', '_' and '-', at most 63")
    with locked(network):
        found = nodes.read(network, node)
        apps = _apps(found.directory / APPS_FILE)
        if app in apps:
            raise Refused(f"{node} knows an application {app!r} already; `qkdbus client rotate` gives it new keys")
        pair = KeyPair.new()
        file = _issue(network, found, app, pair)
        _write(found.directory / APPS_FILE, {**apps, app: pair.public})
    return file


def rotate(network: Path, node: str, app: str, grace: float, clock: Callable[[], float] = time.time) -> Path:
    """Give an application a new key and return its credential file; the former key is good for `grace` s more.

    Refused when the application is not known.
    """
    with locked(network):
        found = nodes.read(network, node)
        apps = _apps(found.directory / APPS_FILE)
        _check_known(node, app, apps)
        pair, doors = KeyPair.new(), _without(read_doors(found.directory), app)
        if grace > 0:
            last = Former("north", app, clock() + grace)
            doors = replace(doors, former={**doors.former, apps[app]: last})
        file = _issue(network, found, app, pair)
        place.write(found.directory / DOORS, doors.text)  # first: the former key is good at every moment
        _write(found.directory / APPS_FILE, {**apps, app: pair.public})
    return file


def revoke(network: Path, node: str, app: str) -> None:
    """Let an application in no more, and wipe its credential if that is here. Refused when it is not known."""
    with locked(network):
        directory = nodes.read(network, node).directory
        apps = _apps(directory / APPS_FILE)
        _check_known(node, app, apps)
        _write(directory / APPS_FILE, {name: key for name, key in apps.items() if name != app})
        doors = read_doors(directory)
        if (left := _without(doors, app)) != doors:
            place.write(directory / DOORS, left.text)
        place.wipe(credential(network, node, app))


def credential(network: Path, node: str, app: str) -> Path:
    """Return where an application's credential for a node is kept."""
    return network / place.CLIENTS / f"{node}.{app}.json"


def _issue(network: Path, node: Node, app: str, pair: KeyPair) -> Path:
    """Write a credential; what it held before is overwritten."""
    north = node.directory / NORTH_FILE
    server = KeyPair.read(north if north.exists() else node.directory / NODE_FILE)
    door = {
        "endpoint": f"tcp://{node.settings.host}:{node.settings.ports.north}",
        "server_key": server.public,
        "app": app,
        "public_key": pair.public,
        "secret_key": pair.secret,
    }
    file = credential(network, node.name, app)
    place.make_private(file.parent)
    place.supersede(file, json.dumps({"network": network.name, "nodes": {node.name: door}}, indent=2) + "\n")
    return file


def _check_known(node: str, app: str, apps: dict[str, str]) -> None:
    if app not in apps or app == LOCAL_USER:
        raise Refused(nodes.unknown("application", app, [name for name in apps if name != LOCAL_USER], node))


def _without(doors: Doors, app: str) -> Doors:
    """Return the same doors without former keys of an application."""
    kept = {key: one for key, one in doors.former.items() if (one.door, one.name) != ("north", app)}
    return replace(doors, former=kept)


def _apps(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        raise BadFile(f"{file}: cannot be read; `qkdbus deploy` writes it") from None


def _write(file: Path, apps: dict[str, str]) -> None:
    place.write(file, json.dumps(apps, indent=2) + "\n")
