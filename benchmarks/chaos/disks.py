"""A node whose disk takes no more: the writes of its databases really fail, for a while.

Full: with root the node's state is a small file system (places.py), which is filled to the last octet. Without, the
kernel refuses each write of its services to any file (RLIMIT_FSIZE is 0, also of those that start meanwhile).
Read-only: the database of one service cannot be opened for writing, and the service is killed so that it has to. With
root by a read-only mount over the file; without by its mode, and that of the folder. (Root may write whatever the
modes: where it has no mounts of its own, there is no such fault.)
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Protocol

from qkdbus_deploy.kernel import Mark

from .places import inside
from .programs import Programs

FILLER = "filler"
WRITERS = ("keymanager", "keysync", "qbackend")  # the services that keep state
BASES = ("keymanager", "keysync")  # those whose database is made read-only, each in turn


class Disk(Protocol):
    """A fault of a node's disk."""

    def begin(self) -> bool:
        """Let it happen; return whether it did."""

    def keep(self) -> None:
        """See to it that it goes on, as services start meanwhile. Called often."""

    def end(self) -> None:
        """Undo it."""


class Filled:
    """A file system without an octet left."""

    def __init__(self, node: Path) -> None:
        self._file = node / "state" / FILLER

    def begin(self) -> bool:
        """Fill it."""
        self.keep()
        return True

    def keep(self) -> None:
        """Take what has come free."""
        number = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (1 << 20, 4096, 1):
                block = bytes(size)
                try:
                    while os.write(number, block):
                        pass
                except OSError:  # no space left
                    continue
        finally:
            os.close(number)

    def end(self) -> None:
        """Give the room back."""
        self._file.unlink(missing_ok=True)


class Limited:
    """Processes that may not write to files: what they write fails as on a broken disk."""

    def __init__(self, programs: Programs, node: str) -> None:
        self._programs, self._node = programs, node
        self._limited: dict[Mark, tuple[int, int]] = {}

    def begin(self) -> bool:
        """Limit those that run."""
        self.keep()
        return bool(self._limited)

    def keep(self) -> None:
        """Limit those that have started."""
        for title, mark in self._programs.services(self._node):
            if title.partition(".")[0] in WRITERS and mark not in self._limited:
                try:
                    before = resource.prlimit(mark.pid, resource.RLIMIT_FSIZE)
                    resource.prlimit(mark.pid, resource.RLIMIT_FSIZE, (0, before[1]))
                except ProcessLookupError:
                    continue
                self._limited[mark] = before

    def end(self) -> None:
        """Lift the limits."""
        for mark, before in self._limited.items():
            if mark.alive():
                try:
                    resource.prlimit(mark.pid, resource.RLIMIT_FSIZE, before)
                except ProcessLookupError:
                    continue


class Mounted:
    """A database under a read-only mount of itself."""

    def __init__(self, programs: Programs, node: Path, service: str) -> None:
        self._programs, self._node, self._service = programs, node.name, service
        self._file = node / "state" / f"{service}.sqlite"

    def begin(self) -> bool:
        """Mount, and have the service open it again."""
        subprocess.run(["mount", "--bind", self._file, self._file], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", self._file], check=True)
        self._programs.strike(self._node, self._service, signal.SIGKILL)
        return True

    def keep(self) -> None:
        """It stays."""

    def end(self) -> None:
        """Unmount, whoever has it open."""
        subprocess.run(["umount", "-l", self._file], check=True)


class Forbidden:
    """A database, and its folder, that its owner may not write to."""

    def __init__(self, programs: Programs, node: Path, service: str) -> None:
        self._programs, self._node, self._service = programs, node.name, service
        self._folder = node / "state"

    def begin(self) -> bool:
        """Take the right away, and have the service open it again."""
        self._set(0o400, 0o500)
        self._programs.strike(self._node, self._service, signal.SIGKILL)
        return True

    def keep(self) -> None:
        """It stays."""

    def end(self) -> None:
        """Give it back."""
        self._set(0o600, 0o700)

    def _set(self, files: int, folder: int) -> None:
        self._folder.chmod(0o700)
        for file in self._folder.glob(f"{self._service}.sqlite*"):
            file.chmod(files)
        self._folder.chmod(folder)


def full(programs: Programs, node: Path) -> Disk:
    """Return how a disk becomes full here."""
    return Filled(node) if (node / "state").is_mount() else Limited(programs, node.name)


def read_only(programs: Programs, node: Path, service: str) -> Disk:
    """Return how a database becomes read-only here."""
    return Mounted(programs, node, service) if inside() else Forbidden(programs, node, service)


def may_be_read_only() -> bool:
    """Whether there is a way."""
    return inside() or os.geteuid() != 0
