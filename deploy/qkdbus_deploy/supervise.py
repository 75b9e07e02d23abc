"""One node's supervisord: supervisor 4, without its one-second poll, and a fork server for our own services.

Three things differ from `supervisord -n -c supervisord.conf` (reference "deployment", section 3):
- a program that is one of our services runs in the forked child, with no exec and no imports;
- the main loop sleeps until something is due, and a signal wakes it: first start and respawn come at once;
- every program dies when its supervisord does, even when that is killed with -9.

`python -m qkdbus_deploy.supervise NODE_DIR` runs it in the foreground.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor import events, poller, process, rpcinterface, web, xmlrpc  # noqa: F401 (imported before forks)
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ProcessConfig, ServerOptions
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.supervisord import Supervisor

from qkdbus.errors import BadFile
from qkdbus.runtime.settings import load

from . import inplace, kernel, pidfile

CONFIGURATION = "supervisord.conf"
LONGEST_PAUSE = 10.0  # s between two starts of a program that always dies
LONGEST_SLEEP = 5.0  # s: supervisor's shortest tick event


class Signals:
    """Signals that came and were not looked at yet (the place of supervisor's SignalReceiver)."""

    def __init__(self) -> None:
        self.pending: list[int] = []

    def receive(self, number: int, frame: object) -> None:
        """Signal handler."""
        if number not in self.pending:
            self.pending.append(number)

    def get_signal(self) -> int | None:
        """Take the oldest one."""
        return self.pending.pop(0) if self.pending else None


class WakingPoller(poller.PollPoller):  # type: ignore[misc]
    """poll(2) that a signal ends, and that lasts until something is due.

    Python repeats an interrupted poll (PEP 475), which is why supervisor sees a dead child only when its
    second is over; the wake-up pipe makes a signal an event like any other.
    """

    def initialize(self) -> None:
        """Called by the base class."""
        super().initialize()
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller.register(self.wake_read, select.POLLIN)

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Wait at most as long as the supervisor says; its fixed `timeout` is not asked."""
        readable, writable = super().poll(self.options.nap())
        if self.wake_read in readable:
            readable.remove(self.wake_read)
            os.read(self.wake_read, 4096)
        return readable, writable

    def close(self) -> None:
        """Give the pipe back."""
        signal.set_wakeup_fd(-1)
        os.close(self.wake_read)
        os.close(self.wake_write)


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
    """The configuration of a Program."""

    def make_process(self, group: Any = None) -> Program:
        """Called by supervisor for each program of a group."""
        program = Program(self)
        program.group = group
        return program


class Options(ServerOptions):  # type: ignore[misc]
    """supervisord's options, with our poller, our programs and our way to start them."""

    def __init__(self, directory: Path, generation: str = "") -> None:
        super().__init__()
        self.node = directory
        self.generation = generation
        self.signal_receiver = Signals()
        self.poller = WakingPoller(self)
        self.reaped = False
        self.groups: Mapping[str, Any] = {}

    def realize(self, *args: Any, **keywords: Any) -> None:
        """Read the configuration file."""
        super().realize(*args, **keywords)
        self.pidfile = str(self.node / pidfile.NAME)
        self.rpcinterface_factories.append(("qkdbus", Extra, {}))

    def processes_from_section(self, parser: Any, section: str, group_name: str, klass: Any = None) -> Any:
        """Make Programs where supervisor makes Subprocesses."""
        if klass in (None, ProcessConfig):
            klass = ProgramConfig
        return super().processes_from_section(parser, section, group_name, klass)

    def set_uid_or_exit(self) -> None:
        """Stay who we are, without a warning when that is root: the network belongs to whoever deployed it."""

    def openhttpservers(self, supervisord: Any) -> None:
        """Listen; a socket that is left of a killed supervisord is in the way for 0.3 s, so remove it first."""
        for server in self.server_configs:
            if server["family"] == socket.AF_UNIX:
                Path(server["file"]).unlink(missing_ok=True)  # nobody's: `supervise` is not called twice
        level, self.logger.level = self.logger.level, sys.maxsize
        super().openhttpservers(supervisord)  # not without a warning that it asks for no password: run/ is 0700
        self.logger.level = level

    def setsignals(self) -> None:
        """Handle signals, and let them end a poll."""
        super().setsignals()
        signal.set_wakeup_fd(self.poller.wake_write, warn_on_full_buffer=False)

    def write_pidfile(self) -> None:
        """Write pid, start time and generation, a line each."""
        pidfile.write(self.node, self.generation)
        self.unlink_pidfile = True
        self.logger.info(f"supervisord started with pid {os.getpid()}")

    def cleanup_fds(self) -> None:
        """Leave open files alone: on a reload ours are among them."""

    def waitpid(self) -> tuple[int | None, int | None]:
        """Reap a child; the loop must go round once more to act on it (it changes states before it reaps)."""
        pid, status = super().waitpid()
        self.reaped = self.reaped or bool(pid)
        return pid, status

    def nap(self) -> float:
        """Seconds that the main loop may sleep."""
        if self.reaped or self.signal_receiver.pending:
            self.reaped = False
            return 0.0
        now = time.time()
        waits = [LONGEST_SLEEP]
        waits += [program.due(now) for group in self.groups.values() for program in group.processes.values()]
        waits += [float(getattr(c, "delay", 0) or LONGEST_SLEEP) for c in asyncore.socket_map.values()]
        return max(0.0, min(waits)) + (0.001 if min(waits) > 0 else 0.0)

    def execve(self, filename: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Exec a foreign program, in the forked child."""
        kernel.die_with(self.parent)
        super().execve(filename, argv, env)

    def fork(self) -> int:
        """Fork, and remember who the parent is."""
        self.parent = os.getpid()
        return inplace.fork()


class Node(Supervisor):  # type: ignore[misc]
    """supervisord of one node."""

    def runforever(self) -> None:
        """Live until told to stop."""
        self.options.groups = self.process_groups
        with suppress(BadFile):  # the services will say so
            load(self.options.node)  # once for all that are forked from here
        super().runforever()

    def ordered_stop_groups_phase_1(self) -> None:
        """Stop every program at once: one after another takes the sum of their last seconds."""
        for group in self.stop_groups or ():
            group.stop_all()


class Extra:
    """XML-RPC calls of ours, beside supervisor's own."""

    def __init__(self, supervisord: Node) -> None:
        self.supervisord = supervisord

    def starts(self) -> dict[str, int]:
        """How often each program was started, by `group:name`."""
        return {
            f"{group.config.name}:{name}": program.spawned
            for group in self.supervisord.process_groups.values()
            for name, program in group.processes.items()
        }


def supervise(directory: Path, generation: str = "", *, silent: bool = False) -> None:
    """Run one node's supervisord in this process until it is told to stop."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # services go on with these objects
    arguments = ["-n", "-c", str(directory / CONFIGURATION), *(["-s"] if silent else [])]
    first = True
    while True:
        events.clear()
        options = Options(directory, generation)
        options.realize(arguments)
        options.first, options.test = first, False
        with suppress(asyncore.ExitNow):
            Node(options).main()
        options.close_httpservers()
        options.close_logger()
        first = False
        if options.mood < SupervisorStates.RESTARTING:
            return


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `python -m qkdbus_deploy.supervise`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise SystemExit("usage: python -m qkdbus_deploy.supervise NODE_DIR")
    directory = Path(arguments[0]).resolve()
    running = pidfile.read(directory)
    if running is not None:
        raise SystemExit(f"{directory}: its supervisord runs already, pid {running[0].pid}")
    kernel.call_me(f"qkdbus {directory.name}")
    supervise(directory)


if __name__ == "__main__":
    main()
