"""Where a node's key manager is, and who we are there: from `client.json`, or from a credential file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qkdbus.bus.curve import KeyPair
from qkdbus.bus.known import stamp_of
from qkdbus.errors import BadFile

HOME = "QKDBUS_HOME"
LOOK_EVERY = 0.5  # s between two looks at the file with our keys


@dataclass(frozen=True, slots=True)
class Access:
    """An endpoint and the keys to it (CURVE, Z85). Without a `server_key` the socket is in the clear (ipc)."""

    endpoint: str
    server_key: str = ""
    public_key: str = ""
    secret_key: str = field(default="", repr=False)
    app: str = "*"


def find(
    node: str, network: str | None = None, home: str | Path | None = None, file: str | Path | None = None
) -> Access:
    """Return the way to `node`: from `file`, else from `<home>/<network>/client.json`. BadFile when there is none."""
    return read(node, locate(network, home, file))


def locate(network: str | None = None, home: str | Path | None = None, file: str | Path | None = None) -> Path:
    """Return the file that says the way: `file`, else `<home>/<network>/client.json`."""
    return Path(file) if file is not None else _folder(home, network) / "client.json"


def read(node: str, where: Path) -> Access:
    """Return the way to `node` that a file says. BadFile when it says none."""
    nodes = _nodes(where, node)
    entry = nodes.get(node)
    if not isinstance(entry, dict):
        raise BadFile(f"{where}: no node {node!r} there; it has {', '.join(sorted(nodes)) or 'none'}")
    return _access(where, node, entry)


def sole(where: Path) -> Access:
    """Return the way that a credential for one node says, whichever that is. BadFile when it is no such file."""
    nodes = _nodes(where)
    if len(nodes) != 1:
        raise BadFile(f"{where}: no credential for one node, but for {len(nodes)}; `qkdbus client add` writes them")
    return read(next(iter(nodes)), where)


class Way:
    """The way to a node, read again when its file changes: keys may be replaced while a program runs.

    Attributes:
        access: as the file said last.
    """

    def __init__(self, node: str, where: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._node, self._where, self._monotonic = node, where, monotonic
        self._stamp = stamp_of(where)
        self._look_at = monotonic() + LOOK_EVERY
        self.access = read(node, where)

    def renewed(self) -> tuple[KeyPair, str] | None:
        """Return our pair and the node's key if they are others than last time; None mostly."""
        now = self._monotonic()
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_EVERY
        if (stamp := stamp_of(self._where)) in (None, self._stamp):
            return None
        self._stamp = stamp
        try:
            found = read(self._node, self._where)
        except BadFile:  # what was there before is still the best that we know
            return None
        if found == self.access or not found.server_key:
            return None
        self.access = found
        return KeyPair(found.public_key, found.secret_key), found.server_key


def _folder(home: str | Path | None, network: str | None) -> Path:
    base = Path(home or os.environ.get(HOME) or Path.home() / ".qkdbus").expanduser()
    if network:
        return base / network
    found = sorted(file.parent for file in base.glob("*/client.json"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(folder.name for folder in found) or "none"
    raise BadFile(f"{base}: say which network (network=...); there are {names}")


def _nodes(where: Path, default: str = "") -> Mapping[str, Any]:
    """Return what a file says, by node."""
    said = _read(where)
    nodes = said.get("nodes")
    if nodes is None and "endpoint" in said:  # a credential for one node
        nodes = {said.get("node", default): said}
    if not isinstance(nodes, dict):
        raise BadFile(f"{where}: it names no nodes; `qkdbus deploy` and `qkdbus client add` write such files")
    return nodes


def _read(file: Path) -> Mapping[str, Any]:
    try:
        said = json.loads(file.read_text())
    except FileNotFoundError:
        raise BadFile(f"{file}: not there; is the network deployed on this machine? `qkdbus status` shows") from None
    except OSError as error:
        raise BadFile(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise BadFile(f"{file}: not JSON: {error}") from None
    if not isinstance(said, dict):
        raise BadFile(f"{file}: expected an object with `nodes`")
    return said


def _access(file: Path, node: str, entry: Mapping[str, Any]) -> Access:
    fields = ("endpoint", "server_key", "public_key", "secret_key", "app")
    values = {name: entry.get(name, "") for name in fields}
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    keys = [name for name in fields[1:4] if len(values[name]) != 40]
    if values["server_key"] == "" and len(keys) == 3 and not any(values[name] for name in keys):
        keys = []
    if wrong or keys or not values["endpoint"]:
        bad = wrong or keys or ["endpoint"]
        raise BadFile(f"{file}: node {node!r}: {bad[0]} is missing or wrong; `qkdbus client add` writes a new one")
    values["app"] = values["app"] or "*"
    return Access(**values)
