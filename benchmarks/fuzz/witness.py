"""Sees whether a flood of hostile messages has done any harm: to a client that behaves, to processes, to logs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psutil

from qkdbus.errors import QkdbusError
from qkdbus_client import Client, Key, Status

PACE = 0.01  # s between two calls of the client
PATIENCE = 60.0  # s that a call may take while the door is flooded: late is no refusal
# Octets that a service may have grown by: memories of callers and answers, streams that were opened: all bounded.
GROWTH = 64 << 20
REGISTERS = 320 << 20  # and an emulator: pairs that nobody measures, for a minute
MORE_FILES = 24  # descriptors, likewise: connections that are just being made or given up
FAULTS = ("fault", "fatal", "take_unreadable", "stop_took_too_long")


class Regular(threading.Thread):
    """A well-behaved client at both ends of one stream.

    Attributes:
        calls, slowest: answered calls, and s that the slowest took.
        trouble: "" while all is well.
    """

    def __init__(self, ends: tuple[Client, Client], ksid: UUID) -> None:
        super().__init__(daemon=True)
        self._ends, self._ksid = ends, ksid
        self.calls, self.slowest, self.trouble = 0, 0.0, ""
        self._over = threading.Event()

    def run(self) -> None:
        """Fetch a key at one end and at the other, and compare, until `stop`."""
        due = 0
        try:
            while not self._over.is_set():
                mine, theirs = (self._fetch(client) for client in self._ends)
                if (mine.index, theirs.index) != (due, due):
                    raise AssertionError(f"indices {mine.index} and {theirs.index} came where {due} was due")
                if mine.key != theirs.key or not mine.key:
                    raise AssertionError(f"index {due} has two keys")
                due += 1
                time.sleep(PACE)
        except (QkdbusError, AssertionError) as error:
            self.trouble = f"{type(error).__name__}: {error}"

    def _fetch(self, client: Client) -> Key:
        ends = time.monotonic() + PATIENCE
        while True:
            began = time.monotonic()
            got = client.get_key(self._ksid, metadata_size=0)
            self.slowest = max(self.slowest, time.monotonic() - began)
            if got.status == Status.SUCCESSFUL:
                self.calls += 1
                return got
            if time.monotonic() > ends or self._over.is_set():
                raise AssertionError(f"no key: {got.status.name}: {got.reason}")

    def stop(self) -> None:
        """End; `trouble` is final."""
        self._over.set()
        if self.ident is not None:
            self.join(2 * PATIENCE)


@dataclass(frozen=True, slots=True)
class Look:
    """A process as it is: octets of its own, open descriptors."""

    pid: int
    memory: int
    files: int


def look(pids: Mapping[str, int]) -> dict[str, Look]:
    """Return how the processes are, by name. psutil.NoSuchProcess: one is gone."""
    found = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        found[name] = Look(pid, int(process.memory_full_info().uss), process.num_fds())
    return found


def harm(before: Mapping[str, Look], after: Mapping[str, Look]) -> Iterator[str]:
    """Tell what has become of processes meanwhile that should not have."""
    for name, now in after.items():
        was = before[name]
        if now.pid != was.pid:
            yield f"{name} has died and was started again"
        elif now.memory - was.memory > (REGISTERS if "emulator" in name else GROWTH):
            yield f"{name} has grown from {was.memory >> 20} to {now.memory >> 20} MB"
        elif now.files - was.files > MORE_FILES:
            yield f"{name} holds {now.files} descriptors, {was.files} before"


def faults(logs: Path) -> list[str]:
    """Return lines of a node's logs that tell of faults, or that are no line of ours (a traceback, say)."""
    found = []
    for file in sorted(logs.glob("*.log*")):
        if file.name.startswith("supervisord"):
            continue
        for line in file.read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                found.append(f"{file.name}: {line[:300]}")
                continue
            if said.get("event") in FAULTS or said.get("level") == "critical" or "exc_info" in said:
                found.append(f"{file.name}: {line[:900]}")
    return found
