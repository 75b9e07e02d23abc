"""Checks for what is left over: of networks half removed, of nodes that were killed."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from qkdbus.errors import QkdbusError

from .. import launch, nodes
from ..fleet import record
from .finding import Finding, well

OF_NODES = ("certs", "logs", "state")


def folders(home: Path) -> Iterator[Finding]:
    """Look for folders of networks and nodes whose files are gone."""
    left = [folder for folder in _folders(home) if _is_left(folder)]
    for network in _folders(home):
        if network not in left:
            left += [node for node in _folders(network) if _is_left_node(node)]
    for folder in left:
        text = f"{folder} is left of what was removed, or is not finished"
        yield Finding("left over", "", "warning", text, f"if no deploy is at work: rm -r '{folder}'")
    if not left and home.is_dir():
        yield well("left over", "nothing of networks that were removed")


def sockets(network: Path) -> Iterator[Finding]:
    """Look for sockets of nodes that do not run: they were killed."""
    running = launch.running(network)
    for name in nodes.names(network):
        try:
            run = nodes.read(network, name).settings.run
        except QkdbusError as error:
            yield Finding("files", name, "error", str(error), "deploy again: what can be kept is kept")
            continue
        found = [file for file in run.glob("*") if stat.S_ISSOCK(file.lstat().st_mode)]
        if name not in running and found:
            text = f"it was killed: {len(found)} sockets are left in {run}"
            yield Finding("left over", name, "warning", text, f"qkdbus start {network.name} {name}")


def _folders(where: Path) -> list[Path]:
    found = sorted(where.iterdir()) if where.is_dir() else []
    return [one for one in found if one.is_dir() and not one.name.startswith(".")]


def _is_left(network: Path) -> bool:
    """Whether a folder looks like a network without a node (one that OSM makes machines for has a record)."""
    if nodes.names(network) or (record.folder(network) / record.FILE).is_file():
        return False
    ours = (network / "client.json", network / ".warm", network / ".source.json")
    return any(one.exists() for one in ours) or any(_is_left_node(node) for node in _folders(network))


def _is_left_node(node: Path) -> bool:
    return not (node / nodes.SETTINGS).is_file() and any((node / name).is_dir() for name in OF_NODES)
