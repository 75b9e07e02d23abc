"""Which software the networks of a host run on: what none of them needs any more is removed.

A warm parent and its nodes go on with what they were started from, whatever is brought afterwards.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from .. import nodes, place
from ..software.unused import remove_unused
from ..wishes import folder

FILE = "software.json"  # in the warm parent's folder


def ours() -> list[str]:
    """Return the digests of the software that this process runs on; none where it was not sent."""
    parts = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return [part.name for part in parts if part.parent.name == "software"]


def started_with(network: Path) -> list[str] | None:
    """Return the software that a network was last started with; None when it never was."""
    try:
        return list(json.loads((network / ".warm" / FILE).read_text()))
    except (OSError, ValueError):
        return None


def note(network: Path) -> None:
    """Write down that a network runs on our software now."""
    place.write(folder(network) / FILE, json.dumps(ours()))


def tidy(home: Path) -> None:
    """Remove software that no network here runs on; with the last network all of it, and the folders."""
    networks = nodes.networks(home)
    keep = {digest for name in networks for digest in started_with(home / name) or ()}
    if networks:
        remove_unused(home, keep | set(ours()))
        return
    remove_unused(home, (), lately=0.0)
    for where in (home / "software", home, home.parent):
        if where != home.parent or where.name == ".qkdbus":
            place.remove_if_empty(where)
