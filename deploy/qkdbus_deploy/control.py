"""Asking one node's supervisord, by XML-RPC over the Unix socket in its `run/` folder."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkdbus.errors import Refused, Unavailable

SOCKET = "supervisor.sock"
_ALREADY = (60, 70)  # supervisor's ALREADY_STARTED and NOT_RUNNING: what was asked for is so


@dataclass(frozen=True, slots=True)
class Program:
    """A program of a node as its supervisord sees it.

    Attributes:
        state: supervisor's word in small letters: running, starting, backoff, stopped, fatal, ...
        pid: 0 when it does not run.
        since: Unix time of the last start, s; 0 when it was never started.
        starts: how often it was started since its supervisord was.
        said: supervisor's explanation, when something is wrong.
    """

    name: str
    state: str
    pid: int
    since: float
    starts: int
    said: str


class Supervisord:
    """The supervisord of one node. Every method raises Unavailable when it does not answer."""

    def __init__(self, run: Path, patience: float = 5.0) -> None:
        self._where = run / SOCKET
        self._proxy = xmlrpc.client.ServerProxy("http://node", transport=_Transport(str(self._where), patience))

    def programs(self) -> dict[str, Program]:
        """Return all programs by name."""
        starts = self._call("qkdbus.starts")
        return {
            info["name"]: Program(
                name=info["name"],
                state=info["statename"].lower(),
                pid=info["pid"],
                since=float(info["start"]),
                starts=starts.get(f"{info['group']}:{info['name']}", 0),
                said=info["spawnerr"],
            )
            for info in self._call("supervisor.getAllProcessInfo")
        }

    def start(self, program: str) -> None:
        """Start a program; nothing happens when it runs. Returns before it is ready."""
        self._change("supervisor.startProcess", program)

    def stop(self, program: str) -> None:
        """Tell a program to stop; nothing happens when it does not run. Returns before it has."""
        self._change("supervisor.stopProcess", program)

    def become(self, program: str, command: str) -> None:
        """Give a program another command line from its next start on; "" for the one that was deployed."""
        if not self._call("qkdbus.become", program, command):
            raise Refused(f"no program {program!r} here")

    def _change(self, method: str, program: str) -> None:
        names = {info["name"]: f"{info['group']}:{info['name']}" for info in self._call("supervisor.getAllProcessInfo")}
        if program not in names:
            raise Refused(f"no program {program!r} here; there are {', '.join(sorted(names))}")
        try:
            self._call(method, names[program], False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in _ALREADY:
                raise Unavailable(f"{program}: {fault.faultString}") from None

    def _call(self, method: str, *arguments: object) -> Any:
        try:
            return getattr(self._proxy, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise Unavailable(f"{self._where}: its supervisord does not answer ({error})") from None


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__()
        self._path, self._patience = path, patience

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(self._path, self._patience)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
