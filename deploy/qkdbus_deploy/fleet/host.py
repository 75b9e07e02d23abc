"""One host that Ansible reaches: commands go to the worker that it has there, and their answers come back."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkdbus.errors import QkdbusError, Refused, Silent, Unavailable

from . import reasons


@dataclass(frozen=True)
class Ran:
    """What a command came to: its exit code (254 for 255 too), and what it wrote."""

    code: int
    out: str
    err: str


class Host:
    """One host. Its commands run one after another; different hosts' at once, from different threads.

    Attributes:
        name: as the inventory has it.
        variables: ansible_host, ansible_connection ("ssh", "local", ...), and where they are set ansible_user,
            ansible_port, ansible_python_interpreter, py_env and whatever begins with qkdbus_. Never a password.
        link: to its worker, or why there is none.
    """

    def __init__(self, name: str, variables: Mapping[str, Any], link: Link | QkdbusError) -> None:
        self.name, self.variables, self.link = name, dict(variables), link
        self._turn = threading.Lock()
        self._numbers = itertools.count()

    def run(self, command: str, stdin: Sequence[Path] = (), patience: float | None = None) -> Ran:
        """Run a command of the POSIX shell there; the files' contents, one after another, are its standard input.

        Raises Unavailable when the host cannot be reached (any more), with the reason and the remedy; Silent when
        it takes longer than `patience` s (it is ended then, as far as this machine can); Refused when the user may
        not become the one that the inventory wants; BadFile when the inventory's settings for it are wrong.
        """
        with self._turn:
            number = next(self._numbers)
            link = self._connected()
            try:
                link.say({"run": number, "command": command, "stdin": [str(file.absolute()) for file in stdin]})
                answer = self._await(link, number, patience)
            except OSError:
                raise self._ended() from None
            except BaseException:  # out of time, or Ctrl-C: the worker must be free for the next
                with suppress(OSError):
                    link.say({"cancel": number})
                raise
        if "code" in answer:
            return Ran(answer["code"], answer["out"], answer["err"])
        if "unreachable" in answer:
            raise Unavailable(f"{self.name}: {reasons.unreachable(self.variables, answer['unreachable'])}")
        raise Refused(f"{self.name}: {reasons.unreachable(self.variables, answer['failed'])}")

    def __repr__(self) -> str:
        return f"Host({self.name!r})"

    def _await(self, link: Link, number: int, patience: float | None) -> dict[str, Any]:
        ends = None if patience is None else time.monotonic() + patience
        while True:
            try:
                answer = link.hear(ends)
            except TimeoutError:
                raise Silent(f"{self.name}: no answer in {patience:g} s") from None
            if answer is None:
                raise self._ended()
            if answer["run"] == number:  # others are of commands that somebody did not wait for
                return answer

    def _connected(self) -> Link:
        if isinstance(self.link, QkdbusError):
            raise self._ended()
        return self.link

    def _ended(self) -> QkdbusError:
        if isinstance(self.link, QkdbusError):
            return type(self.link)(str(self.link))
        return Unavailable(f"{self.name}: Ansible has ended")

    def lose(self, why: QkdbusError) -> None:
        """Have this and every later command raise this."""
        link, self.link = self.link, why
        if isinstance(link, Link):
            link.close()


class Link:
    """One end of a socket that carries JSON, a message a line."""

    def __init__(self, end: socket.socket) -> None:
        self._end, self._heard = end, bytearray()

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        self._end.settimeout(None)
        self._end.sendall(json.dumps(message).encode() + b"\n")

    def hear(self, ends: float | None) -> dict[str, Any] | None:
        """Return the next message; None when there is none any more. Raises TimeoutError at `ends` (monotonic s)."""
        searched = 0
        while (end := self._heard.find(b"\n", searched)) < 0:
            searched = len(self._heard)
            self._end.settimeout(None if ends is None else max(ends - time.monotonic(), 0.001))
            chunk = self._end.recv(1 << 20)
            if not chunk:
                return None
            self._heard += chunk
        line = bytes(self._heard[:end])
        del self._heard[: end + 1]
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Close it; who hears at it hears that there is nothing any more."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)  # wakes whoever hears
        self._end.close()
