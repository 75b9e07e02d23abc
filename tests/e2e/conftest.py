"""Networks of real processes, and key streams held at both ends."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
import zmq
from click.testing import CliRunner, Result

from qkdbus.network.load import load
from qkdbus.runtime.settings import NodeSettings
from qkdbus.runtime.settings import load as load_settings
from qkdbus_client import Client, Key, QoS, Status
from qkdbus_deploy.cli import main
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.sandbox import Sandbox, sandbox
from qkdbus_deploy.status import LinkStatus, NetworkStatus

QKDBUS = (sys.executable, "-c", "from qkdbus_deploy.cli import main; main(prog_name='qkdbus')")
_numbers = itertools.count(1)
SHORT = 8  # octets of a key
GOOD = (Status.SUCCESSFUL, Status.SUCCESSFUL_NO_PEER)

# A small window: a stream that is open and not read shall not keep the machine busy for long. Some 2,000 pairs/s come
# of SimulaQron here, a few hundred bits of key: short keys do where it is not their length that matters.
THREE = """\
qkdbus_version: 1
name: three
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice, Charlie]}
  - {node_name: Charlie, neighbour_nodes: [Bob]}
link_defaults: {block_bits: 512}
buffers: {window_bytes: 128}
"""
# No quantum hardware to wait for: what is between keysync and the application shows at full speed.
FAST = """\
qkdbus_version: 1
name: fast
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {emulator: ideal, block_bits: 1048576}
buffers: {window_bytes: 262144, close_grace_s: 1}
"""


class Ends:
    """One key stream, opened at both ends."""

    def __init__(self, here: Client, there: Client, ksid: UUID, names: tuple[str, str]) -> None:
        self.here, self.there, self.ksid, self.names = here, there, ksid, names

    def pair(self, patience: float = 30.0) -> tuple[Key, Key]:
        """The next key of each end."""
        return fetch(self.here, self.ksid, patience), fetch(self.there, self.ksid, patience)

    def agree(self, count: int) -> list[Key]:
        """Fetch `count` keys at both ends and compare them index by index; return those of this end."""
        ours = []
        for _ in range(count):
            mine, other = self.pair()
            assert mine.index == other.index
            assert mine.key == other.key, f"index {mine.index} has two keys"
            ours.append(mine)
        assert len({key.key for key in ours}) == count or len(ours[0].key) < 8, "a key came twice"
        return ours

    def close(self) -> None:
        for client in (self.here, self.there):
            assert client.close(self.ksid).status == Status.SUCCESSFUL


def fetch(client: Client, ksid: UUID, patience: float = 90.0, index: int | None = None) -> Key:
    """Ask for a key until there is one."""
    ends = time.monotonic() + patience
    while True:
        got = client.get_key(ksid, index)
        if got.status == Status.SUCCESSFUL:
            return got
        assert time.monotonic() < ends, f"no key in {patience:g} s: {got.status.name}: {got.reason}"


class Net:
    """A deployed network and how to look at it."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.home, self.name = box, box.home, box.name
        self.local = Local(box.home)
        self._clients = ExitStack()

    def client(self, node: str, **how: object) -> Client:
        """A client of whoever deployed; it lives as long as the network."""
        return self._clients.enter_context(Client(node, network=self.name, home=self.home, **how))  # type: ignore[arg-type]

    def settings(self, node: str) -> NodeSettings:
        return load_settings(self.home / self.name / node)

    def nodes(self) -> list[NodeSettings]:
        return [self.settings(file.parent.name) for file in sorted((self.home / self.name).glob("*/node.yaml"))]

    def names(self, source: str, destination: str) -> tuple[str, str]:
        """Two applications that nobody else is."""
        number = next(_numbers)
        return f"app{number}@{source}", f"app{number}@{destination}"

    def open(self, source: str, destination: str, qos: QoS | None = None, ksid: UUID | None = None) -> Ends:
        """Open a stream at both ends."""
        names = self.names(source, destination)
        here, there = self.client(source), self.client(destination)
        opened = here.open_connect(*names, qos or QoS(key_chunk_size=SHORT, timeout=2000), ksid)
        assert opened.status in GOOD, opened
        assert opened.ksid is not None
        joined = there.open_connect(*names, ksid=opened.ksid)
        assert joined.status == Status.SUCCESSFUL, joined
        assert joined.ksid == opened.ksid
        return Ends(here, there, opened.ksid, names)

    def status(self) -> NetworkStatus:
        return self.local.status(self.name)

    def link(self, node: str, peer: str) -> LinkStatus:
        return next(link for link in self.status().links if (link.node, link.peer) == (node, peer))

    def pids(self) -> dict[tuple[str, str], int]:
        """Process of each program: (node, layer) -> pid; `supervisord` is one of them."""
        return self.pids_of(self.status())

    @staticmethod
    def pids_of(status: NetworkStatus) -> dict[tuple[str, str], int]:
        found = {}
        for node in status.nodes:
            found[node.node, "supervisord"] = node.pid or 0
            for layer in node.layers:
                name = f"{layer.layer}.{layer.replica}" if layer.replica else layer.layer
                found[node.node, name] = layer.pid or 0
        return found

    def memory(self, node: str, layer: str) -> int:
        """Bytes that are this process's alone: what it shares with the process it was forked from does not count."""
        return int(psutil.Process(self.pids()[node, layer]).memory_full_info().uss)

    def command(self, *words: str, patience: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run `qkdbus` in this network's home."""
        return run_qkdbus(*words, environment={"QKDBUS_HOME": str(self.home)}, patience=patience)

    def close(self) -> None:
        self._clients.close()


def run_qkdbus(
    *words: str, environment: dict[str, str] | None = None, patience: float = 60.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*QKDBUS, *words],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


@contextmanager
def network_of(text: str, folder: Path) -> Iterator[Net]:
    file = folder / "network.yaml"
    file.write_text(text)
    with sandbox(load(file)) as box:
        net = Net(box)
        try:
            yield net
        finally:
            net.close()


def eventually(holds: Callable[[], object], patience: float, every: float = 0.05) -> float:
    """Wait until something holds; return how long that took, in s."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < patience, f"not within {patience:g} s"
        time.sleep(every)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """Alice - Bob - Charlie over SimulaQron. Tests leave it working."""
    with network_of(THREE, tmp_path_factory.mktemp("sites")) as net:
        yield net


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """Alice - Bob with ideal pairs and much room. Tests leave it working."""
    with network_of(FAST, tmp_path_factory.mktemp("fast")) as net:
        yield net


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Callable[[str], Net]]:
    """Deploy a network of one's own from the text of its file."""
    with ExitStack() as stack:
        yield lambda text: stack.enter_context(network_of(text, tmp_path))


@pytest.fixture(scope="session")
def deploying() -> Callable[[str, Path], AbstractContextManager[Net]]:
    """Deploy a network from the text of its file, put into a folder, for the length of a `with`."""
    return network_of


@pytest.fixture
def wait_until() -> Callable[..., float]:
    return eventually


@pytest.fixture
def qkdbus_words() -> tuple[str, ...]:
    """How to start the `qkdbus` command."""
    return QKDBUS


@pytest.fixture
def qkdbus() -> Callable[..., Result]:
    """Run `qkdbus` in this process; an error that it does not put into words is an exit code of 1."""
    return lambda *words, **more: CliRunner().invoke(main, words, prog_name="qkdbus", **more)


@pytest.fixture
def key_of() -> Callable[..., Key]:
    return fetch


@pytest.fixture
def three() -> str:
    """The network file of three sites."""
    return THREE


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)
