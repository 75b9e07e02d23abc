"""Who a node's supervisord is: `<node>/supervisord.pid` with pid, start time, generation and boot, a line each."""

from __future__ import annotations

import os
from pathlib import Path

from .kernel import Mark

NAME = "supervisord.pid"


def write(node: Path, generation: str) -> None:
    """Say that this process is the node's supervisord, so that nobody takes another process for it."""
    mark = Mark.of(os.getpid())
    assert mark is not None
    temporary = node / f"{NAME}.{mark.pid}"
    temporary.write_text(f"{mark.pid}\n{mark.started}\n{generation}\n{mark.boot}\n")
    temporary.replace(node / NAME)


def read(node: Path) -> tuple[Mark, str] | None:
    """Return (process, generation) of the node's living supervisord; None when it has none."""
    try:
        lines = (node / NAME).read_text().splitlines()
        mark = Mark(int(lines[0]), int(lines[1]), lines[3] if len(lines) > 3 else "")
    except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
        return None
    return (mark, lines[2] if len(lines) > 2 else "") if mark.alive() else None
