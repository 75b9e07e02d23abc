"""One node's supervisord: supervisor 4, without its one-second poll, and a fork server for our own services.

Three things differ from `supervisord -n -c supervisord.conf` (reference "deployment", section 3):
- a program that is one of our services runs in the forked child, with no exec and no imports;
- the main loop sleeps until something is due, and a signal wakes it: first start and respawn come at once;
- every program dies when its supervisord does, even when that is killed with -9.

`python -m qkdbus_deploy.supervise NODE_DIR` runs it in the foreground.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor import events, rpcinterface, web, xmlrpc  # noqa: F401 (imported before forks)
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ProcessConfig, ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from qkdbus.errors import BadFile
from qkdbus.runtime.settings import load

from . import inplace, kernel, pidfile
from .paths import SWAPPED
from .supervised import LONGEST_SLEEP, ProgramConfig
from .waking import Signals, WakingPoller

CONFIGURATION = "supervisord.conf"


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
        self._swap()
        self.pidfile = str(self.node / pidfile.NAME)
        self.rpcinterface_factories.append(("qkdbus", Extra, {}))

    def processes_from_section(self, parser: Any, section: str, group_name: str, klass: Any = None) -> Any:
        """Make Programs where supervisor makes Subprocesses."""
        if klass in (None, ProcessConfig):
            klass = ProgramConfig
        return super().processes_from_section(parser, section, group_name, klass)

    def _swap(self) -> None:
        """Put in the layers that were swapped while the node ran."""
        try:
            swapped = json.loads((self.node / SWAPPED).read_text())
        except (OSError, ValueError):  # hardly ever there; `qkdbus swap` says what is wrong with it
            return
        for group in self.process_group_configs:
            for config in group.process_configs:
                config.own, config.command = config.command, swapped.get(config.name, config.command)

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

    def become(self, name: str, command: str) -> bool:
        """Give a program another command line from its next start on; "" for the one that was deployed."""
        if not (isinstance(command, str) and (not command or command.isprintable())):
            raise xmlrpc.RPCError(xmlrpc.Faults.INCORRECT_PARAMETERS, "a command is one line of text")
        for group in self.supervisord.process_groups.values():
            if isinstance(name, str) and name in group.processes:
                config = group.processes[name].config
                config.own = config.own or config.command
                config.command = command or config.own
                return True
        return False


def supervise(directory: Path, generation: str = "", *, silent: bool = False) -> None:
    """Run one node's supervisord in this process until it is told to stop."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # services go on with these objects
    _make_folder_of_sockets(directory)
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


def _make_folder_of_sockets(directory: Path) -> None:
    """Make it again when it is gone: a reboot of the machine leaves nothing of /run and /tmp."""
    with suppress(BadFile):
        run = load(directory).run
        if not run.is_dir():
            from .place import make_private  # only now: what a supervisord imports, each node has for itself

            make_private(run.parent)
            make_private(run)


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
