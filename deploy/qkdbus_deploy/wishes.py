"""Which nodes of a network should run on this machine, and which do: two small files.

`<network>/.warm/wanted.json` is written by commands, `state.json` by the warm parent. Both are replaced in one
step, so that a reader never sees half a file. (Node names start with a letter: `.warm` is nobody's.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .kernel import Mark

FOLDER = ".warm"


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the warm parent says of one node's supervisord.

    Attributes:
        state: waiting (it died at once, and is started again later), running, stopping.
        generation: which bundle it was started with.
        since: Unix time of its start, s.
        restarts: how often it died unasked.
    """

    state: Literal["waiting", "running", "stopping"]
    pid: int
    generation: str
    since: float
    restarts: int


def folder(network: Path) -> Path:
    """Return the warm parent's folder; it is made when missing."""
    where = network / FOLDER
    where.mkdir(mode=0o700, exist_ok=True)
    return where


def write_wanted(network: Path, generations: Mapping[str, str]) -> None:
    """Say which nodes should run, each with its generation."""
    _replace(folder(network) / "wanted.json", dict(generations))


def wanted(network: Path) -> dict[str, str]:
    """Return what should run; nothing when nobody said."""
    found = _read(network / FOLDER / "wanted.json")
    return {str(name): str(generation) for name, generation in found.items()}


def write_state(network: Path, nodes: Mapping[str, NodeState]) -> None:
    """Say what runs, and that this process is the network's warm parent."""
    mark = Mark.of(os.getpid())
    assert mark is not None
    said = {"warm": asdict(mark), "nodes": {name: asdict(node) for name, node in nodes.items()}}
    _replace(folder(network) / "state.json", said)


def state(network: Path) -> tuple[Mark | None, dict[str, NodeState]]:
    """Return the network's warm parent, None when it does not live, and what it (last) said of the nodes."""
    mark = last_warm_parent(network)
    said = _read(network / FOLDER / "state.json").get("nodes", {})
    nodes = {name: NodeState(**node) for name, node in said.items()}
    return mark if mark is not None and mark.alive() else None, nodes


def last_warm_parent(network: Path) -> Mark | None:
    """Return the warm parent that spoke last, whether it lives or not; None when none ever did."""
    said = _read(network / FOLDER / "state.json")
    return Mark(**said["warm"]) if said else None


def _replace(file: Path, value: object) -> None:
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.touch(0o600)
    temporary.write_text(json.dumps(value))
    temporary.replace(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    assert isinstance(found, dict)
    return found
