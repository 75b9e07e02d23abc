"""A network for the length of a `with`: deployed below a home of its own, gone without a trace afterwards.

Every process of it carries a mark in its environment, so that "nothing is left running" is looked up and not
believed. Ctrl-C, SIGTERM and SIGHUP end the body like an exception; the tear-down itself cannot be interrupted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from qkdbus.errors import Failed
from qkdbus.network.model import Network

from .drivers.driver import Deployed, Unready
from .drivers.local import Local
from .launch import Launch

MARK = "QKDBUS_SANDBOX"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Sandbox:
    """A deployed network.

    Attributes:
        home: where it lives.
        deployed: how its deployment went.
    """

    def __init__(self, home: Path, deployed: Deployed, mark: str) -> None:
        self.home, self.deployed, self._mark = home, deployed, mark

    @property
    def name(self) -> str:
        """The network's name."""
        return self.deployed.network

    def processes(self) -> list[int]:
        """Return the ids of all processes of this network, this one not counted."""
        return _marked(self._mark)


@contextmanager
def sandbox(
    network: Network,
    say: Callable[[str], None] = lambda text: None,
    *,
    patience: float = 60.0,
    leave_logs: Path | None = None,
) -> Iterator[Sandbox]:
    """Deploy `network` in a new home; destroy it at the end, whatever happens.

    Raises Failed when a service does not become ready, or when something is left after the tear-down.
    `leave_logs`: a folder to copy the nodes' logs to first.
    """
    mark, outer = secrets.token_hex(8), os.environ.get(MARK)
    os.environ[MARK] = mark
    home = Path(tempfile.mkdtemp(prefix="qkdbus-"))
    with _signals_as_interrupt():
        try:
            deployed = Local(home, say, Launch()).deploy(network, patience)
            if deployed.unready:
                raise Failed("\n".join(map(_why, deployed.unready)))
            yield Sandbox(home, deployed, mark)
        finally:
            _uninterrupted(lambda: _tear_down(home, network.name, mark, say, leave_logs))
            os.environ.pop(MARK, None)
            if outer is not None:  # a sandbox in a sandbox
                os.environ[MARK] = outer


def _why(unready: Unready) -> str:
    log = "\n  ".join(("", *unready.log))
    return f"{unready.node}: {unready.program} is not ready: {unready.reason}{log}"


def _tear_down(home: Path, name: str, mark: str, say: Callable[[str], None], leave_logs: Path | None) -> None:
    try:
        if (home / name).exists():
            if leave_logs is not None:
                _copy_logs(home / name, leave_logs)
            Local(home, say).destroy(name, None)
    finally:
        left = _gone_within(mark, 3.0)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)
    if left:
        raise Failed(f"{len(left)} processes of {name} were still running after its tear-down (killed now)")


def _copy_logs(network: Path, to: Path) -> None:
    for folder in network.glob("*/logs"):
        shutil.copytree(folder, to / folder.parent.name, dirs_exist_ok=True)


def _gone_within(mark: str, seconds: float) -> list[int]:
    ends = time.monotonic() + seconds
    while (left := _marked(mark)) and time.monotonic() < ends:
        time.sleep(0.05)
    return left


def _marked(mark: str) -> list[int]:
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0") and _lives(entry):
                    found.append(int(entry.name))
            except OSError:  # gone, or another user's
                continue
    return found


def _lives(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _uninterrupted(work: Callable[[], None]) -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        work()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
