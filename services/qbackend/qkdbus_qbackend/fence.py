"""A worker that was stopped while it had the store of keys to itself: the others cannot wait until it goes on.

SQLite's locks are the kernel's, which tells who has them (`/proc/locks`, Linux). Where it does not, nobody is fenced.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from qkdbus.signs import is_stopped

WRITER = 120  # octet of `-shm` that whoever writes has locked (SQLite, "WAL-mode File Format", section 2.3)


def fence(database: Path) -> int:
    """Kill the process that writes to this database in WAL mode, if it is stopped; return it, 0: none was.

    It is one of ours, for nobody else may open the file; its supervisord starts it again.
    """
    writer = holder(database.with_name(f"{database.name}-shm"), WRITER)
    if not writer or writer == os.getpid() or not is_stopped(writer):
        return 0
    try:
        os.kill(writer, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return 0
    return writer


def holder(file: Path, octet: int) -> int:
    """Return the process that has locked an octet of a file for itself; 0: none, or it cannot be told."""
    try:
        found, lines = file.stat(), Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        _, *lock = line.split()  # number: kind, how, for what, process, place, first octet, last
        ours = len(lock) == 7 and (lock[0], lock[2], lock[4]) == ("POSIX", "WRITE", place)
        if ours and int(lock[5]) <= octet and (lock[6] == "EOF" or octet <= int(lock[6])):
            return int(lock[3])
    return 0
