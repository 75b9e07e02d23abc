"""What we ask of the Linux kernel about processes: who is who, what they are called, when they must die."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Mark:
    """A process that cannot be mistaken for another: a pid is used again, a pid with its start time is not.

    Both may come again after a reboot, at which the same processes start at the same time; the boot's name does not.
    """

    pid: int
    started: int  # clock ticks since boot, field 22 of /proc/<pid>/stat
    boot: str = ""

    @classmethod
    def of(cls, pid: int) -> Mark | None:
        """Return the mark of a living process; None when there is none, or only its remains (a zombie)."""
        started = start_time(pid)
        return None if started is None else cls(pid, started, boot_name())

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.boot in ("", boot_name()) and start_time(self.pid) == self.started

    def kill(self, number: int) -> bool:
        """Send a signal to this very process, or to nobody. Returns whether it was there."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:  # looked at after the handle is open, so that the pid cannot change hands in between
            if not self.alive():
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)


@cache
def boot_name() -> str:
    """Return the kernel's name for the time since the machine was started; "" where it is hidden."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of `pid`; None when it is gone or a zombie (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in "ZX" else int(fields[19])


def children() -> list[int]:
    """Pids of this process's children (single-threaded: all are of its one thread)."""
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in text.split()]


def call_me(name: str) -> None:
    """Set what `ps` and `top` show of this process, which by itself would be the command of its warm parent."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end (proc(5): 48 and 49): memory of our own
    if 0 < start < end:
        ctypes.memmove(start, name.encode()[: end - start - 1].ljust(end - start, b"\0"), end - start)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies; ends at once if it is dead already.

    The wish outlives an execve, so that foreign programs do not stay behind either (prctl(2)).
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent dies (prctl(2): child subreaper)."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
