"""Live hands on every host of an Ansible inventory.

Ansible runs one task, whose workers (one per host) connect to a Unix socket of ours and do what they are told
(ansible/action_plugins/qkdbus_hand.py). So whatever Ansible can reach is reached, in whatever way the user's
inventory says: ssh with keys or passwords, jump hosts, other users by sudo, this very machine. Nothing is connected
to before the first `run`; the connection is kept for the next. A fault of one host does not touch another.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from qkdbus.errors import BadFile, QkdbusError, Refused, Unavailable

from .. import paths
from . import reasons
from .host import Host, Link
from .options import Options, arguments, environment
from .warden import NOT_INSTALLED

Result = TypeVar("Result")
LONGEST_FOLDER = 70  # octets: below it are ssh's sockets, with names of up to 31
LAST_WORDS = 1.0  # s to wait for what Ansible said when it ended
STARTING = 60.0  # s after which a run listens at its socket, or never will
REMEMBERED = 400  # lines of what Ansible says


@dataclass
class _Told:
    """What the workers have told so far."""

    hosts: dict[str, Host] = field(default_factory=dict)
    expected: tuple[str, ...] | None = None
    ended: bool = False


class Hands:
    """Hands on the hosts of an inventory, from `__enter__` to `__exit__`.

    `say` gets what Ansible warns of, or all that it says, when the options want that. Ansible takes a second to
    start; only `hosts` waits for it. Several Hands do not disturb each other.
    """

    def __init__(
        self, inventory: Path, say: Callable[[str], None] | None = None, options: Options | None = None
    ) -> None:
        self._inventory, self._say, self._options = inventory, say, options or Options()
        self._told = _Told()
        self._changed = threading.Condition()
        self._lines: deque[str] = deque(maxlen=REMEMBERED)
        self._closed = self._warned = False

    def __enter__(self) -> Self:
        """Start Ansible. Raises BadFile when there is no such inventory."""
        if not self._inventory.exists():
            raise BadFile(f"{self._inventory}: there is no such inventory")
        secret = self._options.vault_password_file
        if secret is not None and not secret.exists():
            raise BadFile(f"{secret}: there is no such file with a vault password")
        if self._options.asks and not _has_terminal():
            raise Refused("there is no terminal to ask for a password on: put it into the inventory, or use a key")
        more = arguments(self._inventory, self._options)
        self._folder = _private_folder()
        try:
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind(str(self._folder / "socket"))
            self._server.listen(512)
            self._warden = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.warden", str(self._folder), *more],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment(self._folder, os.environ, self._options),
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        threading.Thread(target=self._watch, args=(listener,), daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def hosts(self) -> dict[str, Host]:
        """The hosts by name, in the order of the inventory; waits until Ansible is ready for all of them.

        A host whose settings Ansible cannot use is among them, and says so when it is to run something.
        Raises BadFile or Refused when the inventory cannot be used at all.
        """
        with self._changed:
            self._changed.wait_for(self._complete)
            if not self._told.hosts:
                raise self._fault()
            if self._say and not self._warned and not self._options.verbose:
                self._warned = True
                for warning in reasons.warnings(self._said()):
                    self._say(f"Ansible warns: {warning}")
            order = self._told.expected or tuple(self._told.hosts)
            return {name: self._told.hosts[name] for name in order if name in self._told.hosts}

    def each(self, hosts: Iterable[Host], function: Callable[[Host], Result]) -> dict[str, Result | QkdbusError]:
        """Call a function with each host, all at once in threads; return by name what it returned or raised."""
        hosts = list(hosts)

        def call(host: Host) -> Result | QkdbusError:
            try:
                return function(host)
            except QkdbusError as error:
                return error

        if not hosts:
            return {}
        with ThreadPoolExecutor(len(hosts), "hand") as pool:
            calls = {host.name: pool.submit(call, host) for host in hosts}
            try:
                return {name: call.result() for name, call in calls.items()}
            except BaseException:  # Ctrl-C: nobody would end the others
                self.close()
                raise

    def close(self) -> None:
        """End Ansible and everything it has started; commands on their way raise Unavailable. From any thread."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            for host in self._told.hosts.values():
                host.lose(Unavailable(f"{host.name}: the connection was closed"))
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # a close alone does not wake the thread that waits there
        self._server.close()
        assert self._warden.stdin is not None
        self._warden.stdin.close()
        self._warden.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _complete(self) -> bool:
        expected = self._told.expected
        return self._told.ended or (expected is not None and set(expected) <= set(self._told.hosts))

    def _listen(self) -> None:
        """Hear what Ansible says."""
        assert self._warden.stdout is not None
        for line in self._warden.stdout:
            self._lines.append(line.rstrip())
            if self._options.verbose and self._say:
                self._say(line.rstrip())

    def _watch(self, listener: threading.Thread) -> None:
        """Wait until Ansible has ended; its workers, which may hold the pipe to us, end when their links do."""
        self._warden.wait()
        listener.join(LAST_WORDS)
        with self._changed:
            self._told.ended = True
            for host in self._told.hosts.values():
                if isinstance(host.link, Link):
                    host.lose(Unavailable(f"{host.name}: Ansible has ended: {reasons.shorten(self._said())}"))
            self._changed.notify_all()

    def _accept(self) -> None:
        """Let in the workers, and those who tell of a worker that failed."""
        while True:
            try:
                link = Link(self._server.accept()[0])
                first = link.hear(None)
            except OSError:
                return
            with self._changed:
                if first is None or self._closed:
                    link.close()
                elif "hello" in first:
                    self._told.hosts[first["hello"]] = Host(first["hello"], first["variables"], link)
                    self._told.expected = tuple(first["hosts"])
                else:
                    self._note_loss(first["lost"], first["text"])
                    link.close()
                self._changed.notify_all()

    def _note_loss(self, name: str, said: str) -> None:
        if name in self._told.hosts:
            self._told.hosts[name].lose(Unavailable(f"{name}: {reasons.shorten(said)}"))
        else:
            why = BadFile(f"{name}: {reasons.inventory(self._inventory, said)}")
            self._told.hosts[name] = Host(name, {}, why)

    def _said(self) -> str:
        return "\n".join(self._lines)

    def _fault(self) -> QkdbusError:
        """Say why there is no host at all."""
        said = self._said()
        if self._closed:
            return Unavailable(f"{self._inventory}: closed")
        if self._warden.returncode == NOT_INSTALLED:
            return Refused(f"Ansible is needed to reach other machines ({said}): pip install ansible-core")
        if self._warden.returncode == 0:
            return BadFile(f"{self._inventory}: there is no host in it")
        if not said:
            return Unavailable(f"{self._inventory}: Ansible has ended with code {self._warden.returncode}")
        return BadFile(reasons.inventory(self._inventory, said))


def _private_folder() -> Path:
    """Make a folder for this run: 0700, with a path short enough for sockets."""
    for root in (paths.run_root(), Path("/tmp") / f"qkdbus-{os.getuid()}"):
        if len(os.fsencode(root)) <= LONGEST_FOLDER - 15:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _clear(root)
            return Path(tempfile.mkdtemp(prefix="hands-", dir=root))
    raise Refused("/tmp: no place for sockets")


def _clear(root: Path) -> None:
    """Remove the folders of runs of which nobody was left to do it: nobody listens there, and not just not yet."""
    for folder in root.glob("hands-*"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as caller:
            if time.time() - folder.stat().st_mtime < STARTING:
                continue
            try:
                caller.connect(str(folder / "socket"))
            except (ConnectionRefusedError, FileNotFoundError):
                shutil.rmtree(folder, ignore_errors=True)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True
