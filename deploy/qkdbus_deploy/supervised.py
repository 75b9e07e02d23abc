"""The programs of a node's supervisord: services that are forked without an exec, and what else is run as a layer."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from supervisor import process
from supervisor.options import ProcessConfig
from supervisor.states import ProcessStates

from . import inplace, kernel

LONGEST_PAUSE = 10.0  # s between two starts of a program that always dies
LONGEST_SLEEP = 5.0  # s: supervisor's shortest tick event


class Program(process.Subprocess):  # type: ignore[misc]
    """A supervised program: knows how often it was started, and comes back at once the first time it dies."""

    spawned = 0
    service: inplace.InPlace | None = None

    def spawn(self) -> Any:
        """Start it."""
        self.spawned += 1
        return super().spawn()

    def get_execv_args(self) -> Any:
        """Read the command line; called before the fork."""
        filename, arguments = super().get_execv_args()
        plain = not self.config.environment and self.config.uid is None
        self.service = inplace.InPlace.of(arguments) if plain else None
        return filename, arguments

    def change_state(self, new_state: int, expected: bool = True) -> Any:
        """Back off by 0, 1, 2 ... 10 s: a kill soon after a start is no crash loop yet."""
        result = super().change_state(new_state, expected)
        if new_state == ProcessStates.BACKOFF:
            self.delay = time.time() + min(self.backoff - 1, LONGEST_PAUSE)
        return result

    def due(self, now: float) -> float:
        """Seconds until this program's state changes by itself."""
        if self.state in (ProcessStates.STARTING, ProcessStates.STOPPING):
            return float(self.delay - now)
        if self.state == ProcessStates.BACKOFF:
            return 0.0 if self.backoff > self.config.startretries else float(self.delay - now)
        fresh = self.state == ProcessStates.STOPPED and not self.laststart and self.config.autostart
        return 0.0 if fresh else LONGEST_SLEEP

    def _spawn_as_child(self, filename: str, argv: Sequence[str]) -> None:
        """After the fork: become one of our services here, or go on to exec a foreign program."""
        if self.service is None:
            super()._spawn_as_child(filename, argv)
            return
        kernel.die_with(self.config.options.parent)
        os.setpgid(0, 0)
        self._prepare_child_fds()
        inplace.run(self.service)

    def _prepare_child_fds(self) -> None:
        options = self.config.options
        options.dup2(self.pipes["child_stdin"], 0)
        options.dup2(self.pipes["child_stdout"], 1)
        options.dup2(self.pipes["child_stdout" if self.config.redirect_stderr else "child_stderr"], 2)
        os.closerange(3, options.minfds)


class ProgramConfig(ProcessConfig):  # type: ignore[misc]
    """The configuration of a Program. `own`: its command as deployed, when it was swapped."""

    own = ""

    def make_process(self, group: Any = None) -> Program:
        """Called by supervisor for each program of a group."""
        program = Program(self)
        program.group = group
        return program
