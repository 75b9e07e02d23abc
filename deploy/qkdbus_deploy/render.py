"""The text of each file of a plan."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from qkdbus.bus.curve import KeyPair
from qkdbus.bus.known import Doors
from qkdbus.errors import Refused
from qkdbus.runtime.settings import NodeSettings

from .bundles import File, Program
from .certs import APPS_FILE, CLIENT_FILE, DOORS, LOCAL_USER, NODE_FILE, NORTH_FILE, Certs, link_file
from .paths import SUPERVISOR_SOCKET

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_SETTINGS_HEAD = "# Written by `qkdbus deploy` from the network file: change that, and deploy again.\n"
_OTHER_HOME = "choose a folder with a plain name (`--home DIR`)"


def node_files(settings: NodeSettings, programs: Sequence[Program], certs: Certs) -> tuple[File, ...]:
    """Return the files of one node. Its services read those with keys again when they change."""
    pairs = {NODE_FILE: certs.nodes[settings.name]}
    if settings.name in certs.north:
        pairs[NORTH_FILE] = certs.north[settings.name]
    links = {link_file(peer.name): certs.secret(settings.name, peer.name) for peer in settings.neighbours}
    return (
        File("node.yaml", settings_text(settings)),
        File("supervisord.conf", supervisor_text(settings, programs)),
        *(File(path, pair_text(pair), (pair.secret,), live=True) for path, pair in pairs.items()),
        File(APPS_FILE, _json(dict(certs.apps[settings.name])), live=True),
        File(DOORS, certs.doors.get(settings.name, Doors().text), live=True),
        *(File(path, secret.text, (secret.secret,), live=True) for path, secret in links.items()),
    )


def client_file(network: str, nodes: Sequence[NodeSettings], certs: Certs) -> File:
    """Return `client.json`: all that `Client(node, network=...)` needs, on this machine and by this user."""
    entries = {node.name: _door(node, certs.door(node.name).public, certs.users[node.name]) for node in nodes}
    secrets = tuple(certs.users[node.name].secret for node in nodes)
    return File(CLIENT_FILE, _json({"network": network, "nodes": entries}), secrets)


def pair_text(pair: KeyPair) -> str:
    """Return the file of a key pair."""
    return _json(_pair(pair))


def settings_text(settings: NodeSettings) -> str:
    """Return `node.yaml`."""
    plain = settings.model_dump(mode="json", exclude_none=True)
    text: str = yaml.dump(plain, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    return _SETTINGS_HEAD + text


def supervisor_text(settings: NodeSettings, programs: Sequence[Program]) -> str:
    """Return `supervisord.conf`. Refused when a path or a command cannot stand in it."""
    places = {"directory": _folder(settings.directory), "run": _folder(settings.run)}
    head = template("supervisord.conf").format(
        node=settings.name,
        network=settings.network,
        socket=SUPERVISOR_SOCKET,
        programs=",".join(program.name for program in programs),
        **places,
    )
    each = template("program.conf")
    parts = [
        each.format(name=program.name, command=_value(shlex.join(program.command)), **places) for program in programs
    ]
    return head + "".join(parts)


@cache
def template(name: str) -> str:
    """Return a file of `templates/`."""
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _folder(folder: Path) -> str:
    """Return a folder as part of a value of supervisord's file (which expands `%` there once or twice)."""
    if "%" in str(folder):
        raise Refused(f"{str(folder)!r} has a `%`, which means something else to supervisord; {_OTHER_HOME}")
    return _value(str(folder))


def _value(text: str) -> str:
    """Return text as a value of supervisord's file, where `%` expands and ` ;` begins a comment."""
    if not text.isprintable() or re.search(r"\s[;#]", text) or text != text.strip():
        raise Refused(f"{text!r} cannot stand in supervisord.conf; {_OTHER_HOME}")
    return text.replace("%", "%%")


def _door(node: NodeSettings, server_key: str, user: KeyPair) -> dict[str, str]:
    endpoint = f"tcp://{node.host}:{node.ports.north}"
    return {"endpoint": endpoint, "server_key": server_key, "app": LOCAL_USER, **_pair(user)}


def _pair(pair: KeyPair) -> dict[str, str]:
    return {"public_key": pair.public, "secret_key": pair.secret}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
