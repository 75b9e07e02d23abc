"""Where a node's key manager is, and who we are there: from `client.json`, or from a credential file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qkdbus.errors import BadFile

HOME = "QKDBUS_HOME"


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
    where = Path(file) if file is not None else _folder(home, network) / "client.json"
    said = _read(where)
    nodes = said.get("nodes")
    if nodes is None and "endpoint" in said:  # a credential for one node
        nodes = {said.get("node", node): said}
    if not isinstance(nodes, dict):
        raise BadFile(f"{where}: it names no nodes; `qkdbus deploy` and `qkdbus client add` write such files")
    entry = nodes.get(node)
    if not isinstance(entry, dict):
        raise BadFile(f"{where}: no node {node!r} there; it has {', '.join(sorted(nodes)) or 'none'}")
    return _access(where, node, entry)


def _folder(home: str | Path | None, network: str | None) -> Path:
    base = Path(home or os.environ.get(HOME) or Path.home() / ".qkdbus").expanduser()
    if network:
        return base / network
    found = sorted(file.parent for file in base.glob("*/client.json"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(folder.name for folder in found) or "none"
    raise BadFile(f"{base}: say which network (network=...); there are {names}")


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
