"""One process of the layer under test, started as a node's supervisord starts it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import Refused

STOP_WITHIN = 30.0  # s: supervisord would kill after three, but a busy machine is no fault of the layer's
LOOK = 0.02
TAIL = 4096  # octets
PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl  # looked up before any fork


def _end_with_us() -> None:
    """In the child, before the program: have the kernel end it when we are ended, whatever ends us."""
    _PRCTL(PR_SET_PDEATHSIG, int(signal.SIGKILL))


class Process:
    """`COMMAND... NODE_DIR [--replica n]` in its node's folder, in a process group of its own; its output in a file."""

    def __init__(self, command: Sequence[str], directory: Path, log: Path) -> None:
        self._command, self._directory, self.log = list(command), directory, log
        self._running: subprocess.Popen[bytes] | None = None
        self.wanted = False  # whether it should be running now

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last; 0 when none ever did."""
        return self._running.pid if self._running else 0

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        """Start it. Refused when there is no such program."""
        self.wanted = True
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:
            try:
                self._running = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd=self._directory,
                    umask=0o077,
                    start_new_session=True,
                    preexec_fn=_end_with_us,
                )
            except OSError as error:
                raise Refused(f"{self._command[0]}: cannot be run ({error.strerror}); give it by its path") from None

    def kill(self) -> None:
        """End it at once, with whatever it has started, as `kill -9` does."""
        self.wanted = False
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()

    async def stop(self, within: float = STOP_WITHIN) -> bool:
        """Ask it to end (SIGTERM); return whether it did within so many s. It is killed if not."""
        self.wanted = False
        if self._running is None:
            return True
        self._running.terminate()
        ends = time.monotonic() + within
        while self.lives and time.monotonic() < ends:
            await asyncio.sleep(LOOK)
        ended = not self.lives
        self.kill()
        return ended

    def how_it_ended(self) -> str:
        """Say how it ended."""
        code = self._running.returncode if self._running else None
        if code is None:
            return "it runs"
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"

    def last_words(self, lines: int = 6) -> str:
        """Return the last lines of its output."""
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        return ""
