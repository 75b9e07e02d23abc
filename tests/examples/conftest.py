"""The examples as their README files run them, in a copy of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

from qkdbus.network.load import load
from qkdbus_client import Client, Key, QoS, Status
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.sandbox import sandbox

HOUSE = Path(__file__).parents[2]
LEFT = shutil.ignore_patterns("node_modules", "keys", "__pycache__")  # what a reader's own trial may have left
PATIENCE = 90.0  # s
QKDBUS = (sys.executable, "-c", "from qkdbus_deploy.cli import main; main()")


class Stream:
    """One key stream, open at both ends."""

    def __init__(self, here: Client, there: Client, ksid: UUID) -> None:
        self.here, self.there, self.ksid = here, there, ksid

    def agree(self, count: int) -> list[Key]:
        """Fetch so many keys at both ends, hold them against each other, and return them."""
        keys = []
        for _ in range(count):
            mine, other = (self.fetch(client) for client in (self.here, self.there))
            assert (mine.index, mine.key) == (other.index, other.key), f"index {mine.index} has two keys"
            keys.append(mine)
        return keys

    def fetch(self, client: Client) -> Key:
        """The next key of one end."""
        ends = time.monotonic() + PATIENCE
        while (got := client.get_key(self.ksid)).status != Status.SUCCESSFUL:
            assert time.monotonic() < ends, f"no key in {PATIENCE:g} s: {got.status.name}: {got.reason}"
        return got


class Deployed:
    """An example's network, running."""

    def __init__(self, folder: Path, home: Path, name: str, clients: ExitStack) -> None:
        self.folder, self.home, self.name, self._clients = folder, home, name, clients
        self.local = Local(home)

    def client(self, node: str) -> Client:
        return self._clients.enter_context(Client(node, network=self.name, home=self.home))

    def open(self, source: str, destination: str, **qos: Any) -> Stream:
        """Open a stream of 32 octets a key at both ends."""
        here, there = self.client(source), self.client(destination)
        names = f"one@{source}", f"other@{destination}"
        opened = here.open_connect(*names, QoS(**{"key_chunk_size": 32, "timeout": 5000, **qos}))
        assert opened.ksid is not None, opened
        joined = there.open_connect(*names, ksid=opened.ksid)
        assert joined.status == Status.SUCCESSFUL, joined
        return Stream(here, there, opened.ksid)

    def held(self, here: Client, there: Client, ksid: UUID) -> Stream:
        """A stream that is open already."""
        return Stream(here, there, ksid)

    def pid(self, node: str, program: str) -> int:
        """Process of a program, `keysync` or `qbackend_1`; 0 when it does not run."""
        layer, _, replica = program.partition("_")
        [found] = [one for one in self.local.status(self.name).nodes if one.node == node]
        pids = [one.pid for one in found.layers if (one.layer, one.replica) == (layer, int(replica or 0))]
        return pids[0] or 0

    def qkdbus(self, *words: str, code: int = 0) -> str:
        """Run the command in the example's folder; return what it says."""
        environment = {**os.environ, "QKDBUS_HOME": str(self.home)}
        said = subprocess.run(
            [*QKDBUS, *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert said.returncode == code, said.stdout + said.stderr
        return said.stdout


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Copy an example, with what it reads of the repository beside it; return its folder."""

    def copy(name: str) -> Path:
        root = tmp_path_factory.mktemp("house")
        shutil.copytree(HOUSE / "examples" / name, root / "examples" / name, ignore=LEFT)
        (root / "common").symlink_to(HOUSE / "common")
        return root / "examples" / name

    return copy


@pytest.fixture(scope="module")
def deploying() -> Callable[[Path], AbstractContextManager[Deployed]]:
    """Deploy the network file of an example's folder for the length of a `with`."""

    @contextmanager
    def deploy(folder: Path) -> Iterator[Deployed]:
        network = load(folder / "network.yaml")
        with sandbox(network, patience=90.0) as box, ExitStack() as clients:
            yield Deployed(folder, box.home, network.name, clients)

    return deploy


@pytest.fixture(scope="session")
def conform() -> Callable[..., None]:
    """Have `qkdbus conform` check a layer, from an example's folder; what is left out has to be named."""

    def check(folder: Path, layer: str, *command: str, left_out: Collection[str] = ()) -> None:
        words = ["conform", layer, "--json", "--", *command]
        said = subprocess.run([*QKDBUS, *words], cwd=folder, capture_output=True, text=True, timeout=840, check=False)
        assert said.stdout, said.stderr
        checks = json.loads(said.stdout)["checks"]
        broken = [check for check in checks if check["verdict"] == "broken"]
        assert not broken, json.dumps(broken, indent=1)
        assert {check["name"] for check in checks if check["verdict"] == "left out"} == set(left_out)
        assert said.returncode == 0

    return check


@pytest.fixture(scope="session")
def module_of() -> Callable[[str], ModuleType]:
    """Import a Python file of the examples, by its path below that folder."""

    def load_module(path: str) -> ModuleType:
        name = "example_" + path.removesuffix(".py").replace("/", "_")
        spec = importlib.util.spec_from_file_location(name, HOUSE / "examples" / path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_module


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object], str], None]:
    """Wait until something holds."""

    def wait(holds: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        ends = time.monotonic() + patience
        while not holds():
            assert time.monotonic() < ends, f"not so after {patience:g} s: {what}"
            time.sleep(0.05)

    return wait
