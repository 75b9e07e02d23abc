"""Turns at the machine's cores, for the lines of all virtual nodes of one network that are on one machine.

Simulating qubits is all work and no waiting. When many lines have pairs made at once, all of them get on slowly, none
is through before its exchange is given up, and the rest of each node hardly runs at all. So they take turns: a few more
lines than there are cores have their pairs made, at full speed, and the others wait without work or loss.

A turn is a lock on a byte of one file, so a process that dies gives its turns back. Whoever sees the same processes
have them for long, or finds that one of those was stopped, goes on without.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import struct
from contextlib import suppress
from pathlib import Path

from qkdbus.signs import is_stopped

FILE = "turns"  # in the network's folder
LINES_A_CORE = 2  # one is worked on while the other waits for a message
FIRST_LOOK, LAST_LOOK = 0.002, 0.3  # s between two looks whether a turn is free
HOLDERS_EVERY = 12  # looks between two at who has the turns
PATIENCE = 80.0  # s in which no turn has changed hands
_FLOCK = "hhqqixxxx"  # struct flock of Linux: type, whence, start, length, pid


class Turns:
    """This process's part in the turns of those that share a file."""

    def __init__(self, file: Path | None = None, most: int = 0, patience: float = PATIENCE) -> None:
        """`file`: None, or one that cannot be opened: nothing is shared. `most`: turns at once; 0: by the cores."""
        self._queue = asyncio.Lock()  # first come, first served, in this process
        self._patience = patience
        self._slots = range(most or LINES_A_CORE * len(os.sched_getaffinity(0)))
        self._held: set[int] = set()  # a process does not see its own locks
        self._file = -1
        if file is not None:
            with suppress(OSError):
                self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def take(self) -> int | None:
        """Wait for a turn and return it, to be given back; None: go on without one."""
        if self._file < 0:
            return None
        async with self._queue:
            loop = asyncio.get_running_loop()
            ends, pause, looks = loop.time() + self._patience, FIRST_LOOK, 0
            holders: list[int] = []
            while (turn := self._free()) is None:
                looks += 1
                if looks % HOLDERS_EVERY == 0:
                    before, holders = holders, self._holders()
                    if any(holder and is_stopped(holder) for holder in holders):
                        return None
                    if holders != before:
                        ends = loop.time() + self._patience
                if loop.time() > ends:
                    return None
                await asyncio.sleep(random.uniform(0.5, 1.0) * pause)
                pause = min(2 * pause, LAST_LOOK)
            self._held.add(turn)
            return turn

    def give_back(self, turn: int | None) -> None:
        """Let somebody else have it."""
        if turn is not None:
            self._held.discard(turn)
            if self._file >= 0:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, turn)

    def close(self) -> None:
        """Give back whatever is held."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _free(self) -> int | None:
        for turn in self._slots:
            if turn not in self._held:
                with suppress(OSError):  # somebody else has it
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, turn)
                    return turn
        return None

    def _holders(self) -> list[int]:
        return [0 if turn in self._held else self._holder(turn) for turn in self._slots]

    def _holder(self, turn: int) -> int:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, turn, 1, 0)
        return int(struct.unpack(_FLOCK, fcntl.fcntl(self._file, fcntl.F_GETLK, asked))[4])
