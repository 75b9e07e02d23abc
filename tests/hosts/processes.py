"""Processes of the machine: those of a namespace, and those that a lab starts and speaks with."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 20.0
"""Seconds to wait for what takes a part of one."""


@dataclass(frozen=True)
class Process:
    """One process: its number in the machine (not in its host), the name of its program and its command line."""

    pid: int
    name: str
    command: str


def in_table(pid: int) -> set[int]:
    """All that share the process table of `pid`, itself included."""
    return _sharing("pid", pid)


def in_network(pid: int) -> set[int]:
    """All that share the network of `pid`, itself included."""
    return _sharing("net", pid)


def look(pid: int) -> Process | None:
    """What runs under a number; None when nothing does (any more), or only its corpse."""
    folder = Path("/proc", str(pid))
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
        name = (folder / "comm").read_text().strip()
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
    return None if state in "ZX" else Process(pid, name, " ".join(os.fsdecode(word) for word in words).strip())


def end(pids: Iterable[int]) -> None:
    """Kill processes, and those that are gone already too."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_gone(pids: Iterable[int], patience: float = PATIENCE) -> None:
    """Wait until none of these is left, or as long as patience lasts (s); TimeoutError names who stays."""
    last = time.monotonic() + patience
    left = set(pids)
    while left := {pid for pid in left if look(pid)}:
        if time.monotonic() > last:
            raise TimeoutError(f"still there after {patience} s: {[look(pid) for pid in left]}")
        time.sleep(0.005)


def launch(command: Sequence[str], log: Path) -> subprocess.Popen[str]:
    """Start a process to hear from and tell to; its stderr is added to the log."""
    pipe = subprocess.PIPE
    with open(log, "a") as errors:
        # A session of its own: Ctrl-C is for the lab's owner, who ends it in an orderly way.
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True, start_new_session=True)


def hear(process: subprocess.Popen[str], log: Path) -> str:
    """The next line that it says; RuntimeError with its log when it has ended, or is silent too long."""
    assert process.stdout
    if select.select([process.stdout], [], [], PATIENCE)[0] and (line := process.stdout.readline().strip()):
        return line
    raise RuntimeError(f"{log.stem} does not come up: {log.read_text().strip() or 'silence'}")


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Say a line, the last one."""
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.close()


def bury(process: subprocess.Popen[str]) -> None:
    """End a process that was launched, if it has not ended, and what we hold of it."""
    process.kill()
    process.wait(PATIENCE)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def _sharing(kind: str, pid: int) -> set[int]:
    try:
        wanted = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return set()
    found = set()
    for entry in os.listdir("/proc"):
        with suppress(OSError):  # gone meanwhile
            if entry.isdecimal() and os.stat(f"/proc/{entry}/ns/{kind}").st_ino == wanted:
                found.add(int(entry))
    return found
