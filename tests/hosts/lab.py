"""Network namespaces as hosts: machines with sshd on one bridge, all within this machine.

with Lab(3, names=["A", "B", "C"]) as lab:
    inventory = lab.inventory(tmp_path / "inventory.yaml", kind="password")
    lab.run(["qkdbus", "deploy", "network.yaml", inventory])
    lab.cut("A", "B")
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import net, processes
from .folder import Folder, Record
from .inventory import Kind, inventory, write
from .machine import host_python
from .net import CONTROLLER, Host
from .processes import Process
from .rack import Rack

SYSTEM = Path("/")
"""As a host's Python: the system's, /usr/bin/python3."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_INHERITED = ("ANSIBLE_", "QKDBUS_", "SSH", "XDG_", "OSM_", "HOME", "PYTHON")
Words = Sequence[object]
"""A command: strings, paths, numbers."""


class Lab(Rack):
    """Hosts and a controller, up within a `with` block. On leaving nothing stays: no process, mount, network or file.

    The controller is this machine with another network (in it only the hosts) and another home; commands run there by
    run() and start(). A host shows /usr, /etc and /var of this machine and nothing else: no repository, no .venv, no
    package beyond Python's standard library. Users: root (by key) and qkd (by key, or password "qkd-secret").
    """

    def __init__(
        self,
        count: int | None = None,
        names: Sequence[str] | None = None,
        *,
        disk_mb: int | Mapping[str, int] | None = None,
        python: Path | Mapping[str, Path | None] | None = SYSTEM,
        known: bool = True,
        off: Sequence[str] = (),
        stay: bool = False,
    ) -> None:
        """Describe a lab of `count` hosts (h1, h2, ...), or of those named; it comes up with `with`, or up().

        disk_mb: the size of each host's disk, or of those named; the others have the machine's memory for it.
        python: the Python of the hosts, or of those named: SYSTEM, a folder (of pyenv, say), None for no Python at all.
        known: whether the controller has the hosts' keys in its ~/.ssh/known_hosts, as if it had met them before.
        off: hosts that are not switched on until boot().
        stay: whether it outlives this process, until down().
        """
        names = list(names) if names is not None else [f"h{i + 1}" for i in range(count or 0)]
        if not 0 < len(names) <= net.MOST_HOSTS or count not in (None, len(names)) or CONTROLLER in names:
            raise ValueError(
                f"a lab has 1 to {net.MOST_HOSTS} hosts, as many as names, and none is called {CONTROLLER!r}"
            )
        disks = disk_mb if isinstance(disk_mb, Mapping) else dict.fromkeys(names, disk_mb)
        pythons = python if isinstance(python, Mapping) else dict.fromkeys(names, python)
        each = {name: host_python() if pythons.get(name, SYSTEM) == SYSTEM else pythons[name] for name in names}
        folder = Folder.claim()
        record = Record(
            owner=os.getpid(),
            stay=stay,
            known=known,
            hosts=[Host(name, i, net.address(folder.number, i)) for i, name in enumerate(names, 1)],
            pythons={name: str(path or "") for name, path in each.items()},
            off=list(off),
            disks_mb={name: size for name, size in disks.items() if size},
        )
        super().__init__(folder, record)

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> Self:
        """Bring all up; returns when every sshd listens."""
        self._up()
        return self

    @classmethod
    def attach(cls, folder: Folder) -> Lab:
        """A lab that another process brought up, to operate it."""
        lab = cls.__new__(cls)
        Rack.__init__(lab, folder, folder.load())
        return lab

    # -- the controller ----------------------------------------------------------------------------------------------

    def run(
        self, command: Words, env: Mapping[str, str] | None = None, timeout: float = 60, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the controller and return what it said; as subprocess.run, with `more` for Popen.

        After `timeout` (s) it is killed, with what it has started, and TimeoutExpired tells what it had said by then.
        First on its PATH are the programs of this Python's environment. Its home is self.home; of this process's
        environment it does not inherit what would reach the developer's (agents, settings of Ansible and of qkdbus).
        """
        say = more.pop("input", None)
        with self.start(command, env, **_pipes(say) | {"start_new_session": True} | more) as process:
            try:
                out, err = process.communicate(say, timeout)
            except BaseException as error:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    said: Any = process.communicate()
                    error.output, error.stderr = said
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, command: Words, env: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        """Start a command on the controller, as subprocess.Popen."""
        return subprocess.Popen(self._there(command), env=self._environment(env), **{"text": True} | more)

    def inside(self, host: str = CONTROLLER) -> AbstractContextManager[None]:
        """This thread in the controller's (or a host's) network; sockets made within stay there."""
        return net.inside(self._record.keeper if host == CONTROLLER else self.hosts[host].pid)

    def _there(self, command: Words) -> list[str]:
        keeper = f"/proc/{self._record.keeper}/ns"
        enter = [
            "nsenter",
            f"--net={keeper}/net",
            f"--mount={keeper}/mnt",
            "sh",
            "-c",
            'cd "$0"; exec "$@"',
            os.getcwd(),
        ]
        return [*enter, *map(str, command)]

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", _PATH)])
        return {**inherited, "HOME": str(self.home), "PATH": path, **(more or {})}

    def inventory(
        self,
        path: Path,
        kind: Kind = "key",
        nodes: Mapping[str, str] | None = None,
        user: str | None = None,
        each: Mapping[str, Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> Path:
        """Write an inventory (see inventory.inventory for the words) and return its path."""
        return write(path, inventory(self.hosts.values(), kind, self.key, nodes, user, variables, each))

    # -- a host, without ssh -----------------------------------------------------------------------------------------

    def on(
        self, host: str, command: str | Words, user: str = "root", check: bool = True, timeout: int = 60, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command (a string: by sh) on a host as one of its users; as subprocess.run, with `more` for it.

        RuntimeError with what it said when it fails and `check` is set; killed after `timeout` (s, whole; 0: never).
        """
        words = ["sh", "-c", command] if isinstance(command, str) else list(map(str, command))
        home = "/root" if user == "root" else f"/home/{user}"
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        enter = ["nsenter", f"--target={self._pid(host)}", "--mount", "--pid", "--net", "--uts", "--ipc"]
        clean = ["env", "-i", f"PATH={_PATH}", f"HOME={home}", f"USER={user}", "sh", "-c", 'cd ~; exec "$@"', "sh"]
        limit = ["timeout", "--signal=KILL", str(timeout)] if timeout else []
        whole = [*enter, *become, *clean, *limit, *words]
        done = subprocess.run(whole, **{"text": True} | _pipes(more.get("input")) | more)
        if check and done.returncode:
            raise RuntimeError(f"{host}: {shlex.join(words)}: code {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def processes(self, host: str, every: bool = False) -> list[Process]:
        """What runs on a host beyond what every host runs: process 1, its sleep, and sshd with its sessions."""
        first = self._pid(host)
        found = [process for pid in sorted(processes.in_table(first)) if (process := processes.look(pid))]
        own = {"sleep 2147483647"} | {process.command for process in found if process.pid == first}
        return [process for process in found if every or not (process.name == "sshd" or process.command in own)]

    def files(self, host: str, path: str | Path = "/") -> Path:
        """Where a host's file can be read and written from here while it runs. (Its absolute links lead elsewhere.)"""
        return Path(f"/proc/{self._pid(host)}/root", str(path).lstrip("/"))

    def fill_disk(self, host: str, leave_kb: int = 0) -> None:
        """Fill a host's disk (it must have a size: disk_mb) up to the last `leave_kb`."""
        if host not in self._record.disks_mb:
            raise ValueError(f"{host} has no disk of its own to fill: Lab(..., disk_mb={{{host!r}: 64}})")
        free = os.statvfs(self._disk(host))
        size = free.f_bavail * free.f_frsize - leave_kb * 1024
        with open(self.files(host, "var/filler"), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def clear_disk(self, host: str) -> None:
        """Undo fill_disk."""
        self.files(host, "var/filler").unlink(missing_ok=True)

    def reaches(self, one: str, other: str, port: int = 22, patience: float = 5.0) -> bool:
        """Whether a TCP connection from one to another (hosts, or "controller") is made within `patience` (s)."""
        address = self.address if other == CONTROLLER else self.hosts[other].address
        try:
            with self.inside(one), socket.create_connection((address, port), patience):
                return True
        except OSError:
            return False

    @contextmanager
    def occupied(self, host: str, port: int) -> Iterator[None]:
        """Somebody else listens on a TCP port of a host (or of the controller)."""
        with self.inside(host):
            listener = socket.create_server(("", port))
        with listener:
            yield

    def _pid(self, host: str) -> int:
        if not (pid := self.hosts[host].pid):
            raise RuntimeError(f"{host} is switched off")
        return pid


def _pipes(say: object) -> dict[str, Any]:
    """For Popen: hear all, and say this or nothing."""
    return {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | (
        {"stdin": subprocess.PIPE} if say is not None else {"stdin": subprocess.DEVNULL}
    )
