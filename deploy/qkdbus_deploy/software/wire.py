"""What is sent to a host, and the command that receives it there; bootstrap.py is the other end."""

from __future__ import annotations

import ast
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from qkdbus.errors import Refused

from .parts import Part

AGENT = "qkdbus_deploy.agent"


def command(python: str) -> str:
    """Return the shell command for a host, to be given the files of `stream` on its stdin.

    `python`: of version 3.11 or later, there. Answers one line of JSON on its stdout: {"missing": [digests], "zstd":
    bool} when it lacks any of `use` (then nothing was done: send those; "zstd" tells whether it can unpack such
    archives), {"error": {"kind", "text"}}, or what the agent says.
    """
    return f"exec {shlex.quote(python)} -I -S -c {shlex.quote(_program())}"


def stream(
    head: int,
    home: str,
    send: Sequence[Part],
    use: Sequence[Part],
    request: Mapping[str, Any],
    *,
    module: str = AGENT,
) -> list[Path]:
    """Return the files whose content, one after another, is a host's stdin; the first is what `head` is filled with.

    `head`: an open file of the caller's, which holds secrets: best one that is on no disk (`os.memfd_create`).

    `home`: qkdbus's folder on the host, absolute. `send`: parts to be unpacked; `use`: those that the agent runs
    with. `request`: for the agent. The archives are the cache's own files: the same for every host, so do not remove
    them.
    """
    if not home.startswith("/") or ":" in home or "\n" in home:
        raise Refused(f"{home!r} cannot be qkdbus's folder on a host: it must be an absolute path without colons")
    asked = json.dumps(request).encode()
    heading = {
        "home": home,
        "module": module,
        "request": len(asked),
        "use": [part.digest for part in use],
        "send": [
            {"digest": part.digest, "packing": part.packing, "size": part.size, "space": part.space} for part in send
        ],
    }
    with open(os.dup(head), "wb") as file:
        file.write(json.dumps(heading).encode() + b"\n" + asked)
    return [Path(f"/proc/{os.getpid()}/fd/{head}"), *(part.archive for part in send)]


@cache
def _program() -> str:
    """Return bootstrap.py without its comments and docstrings: it travels with each command."""
    tree = ast.parse(Path(__file__).with_name("bootstrap.py").read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
