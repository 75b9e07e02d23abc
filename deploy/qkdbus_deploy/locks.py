"""One command at a time: locks on folders, which leave no lock file behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qkdbus.errors import Unavailable


@contextmanager
def locked(folder: Path, patience: float = 30.0) -> Iterator[None]:
    """Hold the lock of a folder, which is made (0700) when it is not there.

    Raises Unavailable when another command holds it for longer than `patience` s. The lock goes with its holder,
    however that ends.
    """
    number = _take(folder, time.monotonic() + patience)
    try:
        yield
    finally:
        os.close(number)


def _take(folder: Path, ends: float) -> int:
    while True:
        for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would make those above with another mode
        try:
            number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # removed meanwhile
            continue
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.exists() and os.path.samestat(os.fstat(number), folder.stat()):
                return number  # and not the lock of a folder that was destroyed while we waited
        except BlockingIOError:
            if time.monotonic() > ends:
                os.close(number)
                raise Unavailable(f"{folder}: another qkdbus command is at work there; try again") from None
            time.sleep(0.02)
        except BaseException:
            os.close(number)
            raise
        os.close(number)
