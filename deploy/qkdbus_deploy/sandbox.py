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

from . import nodes
from .drivers.local import Local
from .launch import Launch
from .outcome import Deployed, Unready

MARK = "QKDBUS_SANDBOX"
MakesDriver = Callable[[Path, Callable[[str], None], Launch | None], Local]
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
    driver: MakesDriver = Local,
) -> Iterator[Sandbox]:
    """Deploy `network` in a new home; destroy it at the end, whatever happens.

    Raises Failed when a service does not become ready, or when something is left after the tear-down.
    `leave_logs`: a folder to copy the nodes' logs to first. `driver`: what deploys it.
    """
    mark, outer = secrets.token_hex(8), os.environ.get(MARK)
    os.environ[MARK] = mark
    with _signals_as_interrupt() as interrupts:
        home, launch = Path(tempfile.mkdtemp(prefix="qkdbus-")), Launch()
        try:
            interrupts.allow()
            deployed = driver(home, say, launch).deploy(network, patience)
            if deployed.unready:
                raise Failed("\n".join(map(_why, deployed.unready)))
            yield Sandbox(home, deployed, mark)
        finally:
            interrupts.allowed = False
            launch.abandon()
            _uninterrupted(lambda: _tear_down(driver(home, say, None), network.name, mark, leave_logs))
            os.environ.pop(MARK, None)
            if outer is not None:  # a sandbox in a sandbox
                os.environ[MARK] = outer


def _why(unready: Unready) -> str:
    log = "\n  ".join(("", *unready.log))
    return f"{unready.node}: {unready.program} is not ready: {unready.reason}{log}"


def _tear_down(local: Local, name: str, mark: str, leave_logs: Path | None) -> None:
    home = local.home
    try:
        if name in nodes.networks(home):  # (an interrupt may have come before a node was placed)
            if leave_logs is not None:
                _copy_logs(home / name, leave_logs)
            local.destroy(name, None)
    finally:
        # A warm parent that was still importing sees only afterwards that nobody wants it; a worker first ends what its
        # threads compute. On a busy machine both take long.
        left = _gone_within(mark, 30.0)
        titles = [_title(pid) for pid in left]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)
    if left:
        raise Failed(f"of {name} there were still running after its tear-down (killed now): {', '.join(titles)}")


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
                if (
                    wanted in (entry / "environ").read_bytes().split(b"\0")
                    and _lives(entry)
                    and not _own_tracker(entry)
                ):
                    found.append(int(entry.name))
            except OSError:  # gone, or another user's
                continue
    return found


def _title(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        words = "gone by now"
    return f"{words} ({pid})"


def _own_tracker(entry: Path) -> bool:
    """Whether it is what Python starts beside *this* process at its first shared thing; it ends as this one does."""
    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return parent == os.getpid() and b"multiprocessing.resource_tracker import main" in (entry / "cmdline").read_bytes()


def _lives(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"


class _Interrupts:
    """Handles the signals that end a program: each as a KeyboardInterrupt, while that is allowed.

    Not before the tear-down is sure to follow, and never within it. (In between each one counts: some code swallows
    what is raised in it.)
    """

    def __init__(self) -> None:
        self.allowed = self._came = False

    def allow(self) -> None:
        """Let one come from now on; one that came before comes now."""
        self.allowed = True
        if self._came:
            self(0, None)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        if self.allowed:
            raise KeyboardInterrupt


@contextmanager
def _signals_as_interrupt() -> Iterator[_Interrupts]:
    interrupts = _Interrupts()
    before = {number: signal.signal(number, interrupts) for number in _ENDING}
    try:
        yield interrupts
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
