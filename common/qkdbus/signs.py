"""What this machine tells of a process, without asking it: that it has ended, is stopped, or computes.

Linux: /proc and pidfd. Where they tell nothing (a process that says a wrong pid, or none), pings have to do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")
STOPPED = frozenset("TtZXx")  # stopped, traced, ended


class Sign(NamedTuple):
    """A process as the kernel sees it. `cpu`: s of processor time so far."""

    state: str
    cpu: float

    def computes(self, before: float) -> bool:
        """Tell whether it is at work, or was since it had had `before` s of processor time."""
        return self.state not in STOPPED and (self.state in "RD" or self.cpu > before)


Look = Callable[[int], Sign | None]
Unwatch = Callable[[], None]
WatchDeath = Callable[[int, Callable[[], None]], Unwatch]


def look(pid: int) -> Sign | None:
    """Look at a process; None when nothing can be seen of it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return Sign(fields[0], (int(fields[11]) + int(fields[12])) / TICK)
    except (OSError, IndexError, ValueError):
        return None


def blind(pid: int) -> Sign | None:
    """See nothing."""
    return None


def watch_death(pid: int, died: Callable[[], None]) -> Unwatch:
    """Call `died` once, in this loop, as soon as the process has ended; return what ends the watch."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):  # it has ended already, or is not ours to see
        return _nothing
    loop = asyncio.get_running_loop()

    def unwatch() -> None:
        nonlocal descriptor
        if descriptor >= 0:
            loop.remove_reader(descriptor)
            with suppress(OSError):
                os.close(descriptor)
            descriptor = -1

    def over() -> None:
        unwatch()
        died()

    loop.add_reader(descriptor, over)
    return unwatch


def watch_nothing(pid: int, died: Callable[[], None]) -> Unwatch:
    """Watch nobody."""
    return _nothing


def _nothing() -> None:
    pass
