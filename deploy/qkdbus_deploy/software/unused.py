"""Removes software from a host that nothing there uses any more. Runs on the host."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path

_LATELY = 3600.0  # s: a command may still be unpacking it, or may not have started yet what uses it


def remove_unused(home: Path, keep: Collection[str], lately: float = _LATELY) -> list[str]:
    """Remove what is in <home>/software, but for the digests in `keep` and what came lately; return what went."""
    gone = []
    for folder in sorted((home / "software").glob("*")):
        try:
            if folder.name in keep or time.time() - folder.stat().st_mtime < lately:
                continue
        except FileNotFoundError:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        gone.append(folder.name)
    return gone
