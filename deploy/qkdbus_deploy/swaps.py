"""Layers that were swapped while their node runs: `<node>/swapped.json`, program -> command line.

The node's supervisord reads it whenever it starts, so a swap outlives deaths, reboots and deploys, until it is taken
back. Nothing but the swapped layer is restarted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from qkdbus.errors import BadFile, Refused

from . import place
from .paths import SWAPPED


def read(node: Path) -> dict[str, str]:
    """Return program -> command line of a node. BadFile when it cannot be read."""
    file = node / SWAPPED
    try:
        return {str(name): str(command) for name, command in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise BadFile(f"{file}: cannot be read ({type(error).__name__}); remove it to run what was deployed") from None


def write(node: Path, programs: Sequence[str], command: Sequence[str] | None) -> dict[str, str]:
    """Swap these programs for a command, or take that back (None); return program -> command line, "" for its own.

    The command gets the node's folder as its last argument, and a worker of several its number besides.
    """
    known = read(node)
    for program in programs:
        known.pop(program, None)
        if command is not None:
            _, _, replica = program.partition("_")
            known[program] = shlex.join([*command, str(node), *(["--replica", replica] if replica else [])])
    if known:
        place.write(node / SWAPPED, json.dumps(known, indent=2) + "\n")
    else:
        (node / SWAPPED).unlink(missing_ok=True)
    return {program: known.get(program, "") for program in programs}


def words(command: Sequence[str]) -> list[str]:
    """Return the words of a command. Refused when there are none, or some that cannot be run."""
    found = shlex.split(command[0]) if len(command) == 1 else list(command)
    if not found or not all(word.isprintable() for word in found):
        raise Refused("a layer is swapped for a command: `qkdbus swap NODE LAYER -- python -m mylab_keysync`")
    return found
