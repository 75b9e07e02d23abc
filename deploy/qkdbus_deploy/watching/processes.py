"""What the kernel says of a process: processor time, memory, open files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Use:
    """What a process has used and holds.

    Attributes:
        cpu: s of processor time, in user and kernel mode, since its start.
        resident: octets of memory that it can see (shared pages count for every process that has them).
        proportional: octets of memory, each shared page divided by the number of its sharers; None when hidden.
        files: open ones; None when hidden.
    """

    cpu: float
    resident: int
    proportional: int | None
    files: int | None


def use(pid: int) -> Use | None:
    """Return what a process uses; None when it is gone, or another user's."""
    folder = Path(f"/proc/{pid}")
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        resident = int((folder / "statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None
    if fields[0] in "ZX":
        return None
    return Use((int(fields[11]) + int(fields[12])) / _TICKS, resident, _proportional(folder), _files(folder))


def _proportional(folder: Path) -> int | None:
    try:
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _files(folder: Path) -> int | None:
    try:
        return len(os.listdir(folder / "fd"))
    except OSError:
        return None
