"""What this machine tells of a process, without asking it: that it has ended, is stopped, or computes.

Linux: /proc and pidfd. Where they tell nothing (a process that says a wrong pid, or none), pings have to do.

Whoever does not answer may hang, have much to do, or not get to run because others have: `Silence` tells these apart.
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


COMPUTING = 6.0  # s of processor time in which one that computes all the time need not answer
LONGEST = 60.0  # s in which one need not that waits for a processor


class Sign(NamedTuple):
    """A process as the kernel sees it.

    Attributes:
        state: of its main thread; R when any of its threads runs, or waits for a processor.
        cpu: s of processor time so far.
    """

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
        state, *fields = _stat(Path(f"/proc/{pid}/stat"))
        runs = state == "S" and any(_stat(task / "stat")[0] == "R" for task in Path(f"/proc/{pid}/task").iterdir())
        return Sign("R" if runs else state, (int(fields[10]) + int(fields[11])) / TICK)
    except (OSError, IndexError, ValueError):
        return None


def _stat(file: Path) -> list[str]:
    return file.read_text().rpartition(")")[2].split()


class Silence:
    """How long a process has not answered, in time in which it could have.

    That is too long when it has done nothing for `dead` s, or computed for COMPUTING s of processor time: a long
    calculation keeps it from answering, and is no reason to take it for lost. While it waits for a processor, nothing
    counts but LONGEST.
    """

    def __init__(self, dead: float) -> None:
        self._dead = dead
        self._idle, self._busy, self._computed = 0.0, 0.0, 0.0
        self._cpu = float("inf")  # as it was seen last

    def too_long(self, seconds: float, sign: Sign | None) -> bool:
        """Count `seconds` more without an answer, after which the process was seen as `sign` (None: it was not)."""
        if sign is None:
            self._idle += seconds
        elif sign.state in STOPPED:
            return True
        elif sign.computes(self._cpu):
            self._busy += seconds
            self._computed += max(0.0, sign.cpu - self._cpu)
        else:
            self._idle += seconds
        self._cpu = self._cpu if sign is None else sign.cpu
        return self._idle >= self._dead or self._computed >= max(self._dead, COMPUTING) or self._busy >= LONGEST


def is_stopped(pid: int) -> bool:
    """Tell whether a process was seen to be stopped, or to have ended."""
    try:
        return _stat(Path(f"/proc/{pid}/stat"))[0] in STOPPED
    except (OSError, IndexError):
        return False


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
