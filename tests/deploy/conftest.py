"""Networks of stand-in services (standins/), deployed by the real command in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from qkdbus_deploy.cli import main
from qkdbus_deploy.status import look

HERE = Path(__file__).parent
MARK = "QKDBUS_TEST_RUN"
HERE_TOO = ("client", "status", "stop", "destroy")  # these need no process of their own


@dataclass
class Machine:
    """A home for networks, and all that was started for it."""

    home: Path
    mark: str
    said: str = ""

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(HERE / "standins"), *sys.path]
        more = {"PYTHONPATH": os.pathsep.join(paths), "QKDBUS_HOME": str(self.home), MARK: self.mark}
        return {**os.environ, **more}

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from qkdbus_deploy.cli import main; main()", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, env={**self.environment, **more}, text=True, **pipes)  # type: ignore[call-overload, no-any-return]

    def run(self, *arguments: str, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit code."""
        if arguments[0] in HERE_TOO:
            # A stop starts a warm parent, too, when it finds nodes without one: that has to bear the mark.
            environment = {"QKDBUS_HOME": str(self.home), MARK: self.mark, **more}
            said = CliRunner().invoke(main, arguments, env=environment)
            assert said.exit_code == code, said.output
            return subprocess.CompletedProcess(arguments, code, said.stdout, said.stderr)
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=90)
        assert process.returncode == code, out + err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def file(self, name: str, nodes: int = 2, **more: Any) -> Path:
        """Write the network file of a line of nodes N0 - N1 - ..."""
        each = [
            {"node_name": f"N{i}", "neighbour_nodes": [f"N{j}" for j in (i - 1, i + 1) if 0 <= j < nodes]}
            for i in range(nodes)
        ]
        self.home.parent.mkdir(parents=True, exist_ok=True)
        file = self.home.parent / f"{name}.yaml"
        defaults = {"link_defaults": {"emulator": "ideal"}}
        file.write_text(json.dumps({"qkdbus_version": 1, "nodes": each, **defaults, **more}))
        return file

    def deploy(self, name: str, nodes: int = 2, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.run("deploy", str(self.file(name, nodes, **more)), code=code)

    def status(self, network: str = "net") -> dict[str, Any]:
        """Return what `qkdbus status --json` would, without the cost of starting it."""
        return look(self.home / network, patience=0.3).plain()

    def layer(self, network: str, node: str, layer: str) -> Any:
        [found] = [n for n in self.status(network)["nodes"] if n["node"] == node]
        [one] = [one for one in found["layers"] if one["layer"] == layer]
        return one

    def node(self, network: str, node: str) -> Any:
        [found] = [n for n in self.status(network)["nodes"] if n["node"] == node]
        return found

    def processes(self) -> list[psutil.Process]:
        """Return every living process that descends from a command of this machine, whoever its parent is now."""
        return [p for p in psutil.process_iter() if _environment(p).get(MARK) == self.mark and _lives(p)]


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="qkdbus-"))
    found = Machine(folder / "home", uuid.uuid4().hex)
    yield found
    _end(found)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    """A machine whose network `net` of three nodes runs: only to be looked at."""
    folder = Path(tempfile.mkdtemp(prefix="qkdbus-"))
    found = Machine(folder / "home", uuid.uuid4().hex)
    found.said = found.deploy("net", 3).stdout
    yield found
    _end(found)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def deep_machine() -> Iterator[Machine]:
    """A machine whose home is too long a path for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="qkdbus-"))
    found = Machine(folder / ("long" * 30) / "home", uuid.uuid4().hex)
    yield found
    _end(found)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def until() -> Callable[[Callable[[], object], str], float]:
    """Wait until something holds; return how long that took."""

    def wait(holds: Callable[[], object], what: str, patience: float = 60.0) -> float:
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < patience, f"not so after {patience} s: {what}"
            time.sleep(0.005)
        return time.monotonic() - began

    return wait


def _end(machine: Machine) -> None:
    left: Sequence[psutil.Process] = machine.processes()
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
