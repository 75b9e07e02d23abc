"""The Ansible task of qkdbus: on the controller, one worker per host, which runs what it is told.

It connects to the Unix socket that $QKDBUS_HANDS names and says who it is, a line of JSON:
    {"hello": name, "hosts": [all names, in order], "variables": {...}}
Then it hears, line by line,
    {"run": id, "command": text, "stdin": [paths]}     the files' contents are the command's standard input
    {"cancel": id}                                     end it, if it still runs
and answers each run:
    {"run": id, "code": n, "out": text, "err": text}   it ran
    {"run": id, "unreachable": text}                   the host could not be reached, or no more
    {"run": id, "failed": text}                        it could not be started (privileges, the connection's plugin)
End of file is the end. What is run may be secret, so that nothing of it is shown, at whatever verbosity.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import shlex
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError  # type: ignore[import-untyped]
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

SHOWN = ("ansible_host", "ansible_connection", "ansible_user", "ansible_port", "ansible_python_interpreter", "py_env")
OF_CONNECTION = {"ansible_host": "host", "ansible_user": "remote_user", "ansible_port": "port"}
NEVER = ("pass", "secret", "token")  # variables with such a word in their name stay here
PERSIST = "-o ControlMaster=auto -o ControlPersist=60s"
# Last on the command line, so that whatever the user says about them wins.
DEFAULTS = "-o StrictHostKeyChecking=accept-new -o ServerAliveInterval=4 -o ServerAliveCountMax=3"

BEGUN = "qkdbus-begun-as-another-user"  # what sudo and its like say when they fail looks like a command's own words
AGAIN = 0.1  # s between two attempts to end a command
PATIENT = 10  # attempts with SIGTERM, before SIGKILL


class ActionModule(ActionBase):  # type: ignore[misc]
    """One worker, for one host."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Say hello, then do what is told until told to end."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        Display().verbosity = min(Display().verbosity, 2)  # from 3 on, what commands say is shown
        self._prepare_connection()
        hello = {
            "hello": task_vars["inventory_hostname"],
            "hosts": [str(name) for name in task_vars["ansible_play_hosts_all"]],
            "variables": self._variables(task_vars),
        }
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(os.environ["QKDBUS_HANDS"])
            _say(link, hello)
            with suppress(BrokenPipeError):
                self._obey(link)
        return result

    def _obey(self, link: socket.socket) -> None:
        ear = Ear(link)
        while (task := ear.tasks.get()) is not None:
            answer = self._do(task["command"], task["stdin"])
            ear.done(task["run"])
            _say(link, {"run": task["run"], **answer})

    def _do(self, command: str, stdin: list[str]) -> dict[str, Any]:
        try:
            data = b"".join(Path(file).read_bytes() for file in stdin)
            # By QKDBUS_HANDS is known what must end with us; daemons that a command leaves here must not.
            # A command that ends with 255 would look like a failure of ssh.
            source = "" if data else "</dev/null"
            begin = f"echo {BEGUN} >&2\n" if self._connection.become else ""
            whole = f"{begin}unset QKDBUS_HANDS\n( {command}\n) {source}\nc=$?; [ $c -ne 255 ] || c=254; exit $c"
            ran = self._low_level_execute_command(whole, in_data=data or None)
        except AnsibleConnectionFailure as error:
            return {"unreachable": _text(error)}
        except (AnsibleError, OSError) as error:
            return {"failed": _text(error)}
        if ran["rc"] == 255:
            return {"unreachable": ran["stderr"].strip()}
        _, begun, err = ran["stderr"].rpartition(f"{BEGUN}\n") if begin else ("", "-", ran["stderr"])
        if not begun:
            return {"failed": f"becoming another user: {err.strip()}"}
        code = ran["rc"] if ran["rc"] >= 0 else 128 - ran["rc"]  # by a signal, as a shell says it
        return {"code": code, "out": ran["stdout"], "err": err}

    def _prepare_connection(self) -> None:
        """Give ssh what it needs here, beside what the user has set."""
        connection = self._connection
        if connection.transport == "local":
            self._loader.set_basedir(os.path.expanduser("~"))  # where commands run
        if connection.transport != "ssh":
            return
        arguments, origin = connection.get_option_and_origin("ssh_args")
        arguments = PERSIST if origin == "default" else arguments or ""
        if known := os.environ.get("QKDBUS_KNOWN_HOSTS"):
            arguments = f"-o UserKnownHostsFile={shlex.quote(known)} {arguments}"
        connection.set_option("ssh_args", arguments)
        connection.set_option("ssh_extra_args", f"{connection.get_option('ssh_extra_args') or ''} {DEFAULTS}".strip())
        connection.set_option("use_tty", False)  # stdout and stderr stay apart, and as they are

    def _variables(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        names = [name for name in task_vars if name in SHOWN or name.startswith("qkdbus_")]
        found = {
            name: _plain(self._templar.template(task_vars[name]))
            for name in names
            if not any(word in name for word in NEVER)
        }
        for name, option in OF_CONNECTION.items():  # under whatever name, or in whatever file, they were set
            if name not in found:
                with suppress(KeyError, AnsibleError):
                    if (value := self._connection.get_option(option)) is not None:
                        found[name] = _plain(value)
        return {
            "ansible_host": task_vars["inventory_hostname"],
            **found,
            "ansible_connection": self._connection.transport,
        }


class Ear:
    """Hears the controller in a thread, so that a command can be ended while it runs.

    Attributes:
        tasks: what is to be run; None is the end.
    """

    def __init__(self, link: socket.socket) -> None:
        self.tasks: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._done = threading.Condition()
        self._last_done = -1
        threading.Thread(target=self._hear, args=(link,), daemon=True).start()

    def done(self, number: int) -> None:
        """Note that this one has ended: cancelling it later has no effect."""
        with self._done:
            self._last_done = number
            self._done.notify_all()

    def _hear(self, link: socket.socket) -> None:
        last = -1
        with suppress(OSError):
            for line in link.makefile():
                told = json.loads(line)
                if "run" in told:
                    last = told["run"]
                    self.tasks.put(told)
                else:
                    self._cancel(told["cancel"])
        self.tasks.put(None)
        self._cancel(last)

    def _cancel(self, number: int) -> None:
        """End a command, which perhaps has not even begun."""
        told: set[Process] = set()
        with self._done:
            for number_of_signal in itertools.chain([signal.SIGTERM] * PATIENT, itertools.repeat(signal.SIGKILL)):
                if self._last_done >= number:
                    return
                told = descendants(told)
                for process in told:
                    process.kill(number_of_signal)
                self._done.wait_for(lambda: self._last_done >= number, AGAIN)


@dataclass(frozen=True)
class Process:
    """A process, which its pid alone does not tell for ever."""

    pid: int
    started: int  # clock ticks since boot

    def kill(self, number: int) -> None:
        """Send it a signal; but not to what wipes the memory that was shared with ssh, which ends by itself."""
        with suppress(OSError):
            if b"resource_tracker" not in Path(f"/proc/{self.pid}/cmdline").read_bytes():
                os.kill(self.pid, number)


def descendants(told: set[Process]) -> set[Process]:
    """Return what descends from this process or from `told`: those of them that live, and their own."""
    parents = dict(_processes())
    found = told & set(parents)
    pids = {process.pid for process in found} | {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in pids} - found:
        found |= more
        pids |= {process.pid for process in more}
    return found


def _processes() -> Iterator[tuple[Process, int]]:
    """Yield every process, with its parent's pid."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
                yield Process(int(entry), int(fields[19])), int(fields[1])


def _say(link: socket.socket, message: dict[str, Any]) -> None:
    link.sendall(json.dumps(message).encode() + b"\n")


def _text(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error).strip()


def _plain(value: Any) -> Any:
    """Return a value without Ansible's own types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    return next((kind(value) for kind in (int, float) if isinstance(value, kind)), str(value))
