"""A network of ideal links, of real processes, shared by the tests of one file; and how to read keys from it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
import zmq

from qkdbus.bus.curve import KeyPair, secure_client
from qkdbus.bus.frames import PROTOCOL
from qkdbus.errors import QkdbusError
from qkdbus.network.load import load
from qkdbus.runtime.settings import NodeSettings
from qkdbus.runtime.settings import load as load_settings
from qkdbus.wire.head_pb2 import Head, Ping
from qkdbus_client import Client, Key, QoS, Status
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.sandbox import Sandbox, sandbox
from qkdbus_deploy.status import NetworkStatus

QKDBUS = (sys.executable, "-c", "from qkdbus_deploy.cli import main; main(prog_name='qkdbus')")
THREE = """\
qkdbus_version: 1
name: guarded
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice, Charlie]}
  - {node_name: Charlie, neighbour_nodes: [Bob]}
link_defaults: {emulator: ideal, block_bits: 4096}
buffers: {window_bytes: 2048, close_grace_s: 1}
"""
_numbers = itertools.count(1)


@dataclass
class Reader:
    """Two programs that read one stream, one at each end, each at its own pace, until they are stopped."""

    names: tuple[str, str]
    ksid: UUID
    ends: tuple[Client, Client]
    keys: tuple[dict[int, bytes], dict[int, bytes]] = field(default_factory=lambda: ({}, {}))
    twice: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._read, args=(end,)) for end in (0, 1)]
        for thread in self._threads:
            thread.start()

    def _read(self, end: int) -> None:
        while not self._over.is_set():
            try:
                got = self.ends[end].get_key(self.ksid)
            except QkdbusError as error:
                self.errors.append(f"{self.names[end]}: {type(error).__name__}: {error}")
                continue
            if got.status == Status.SUCCESSFUL:
                if got.index in self.keys[end]:
                    self.twice.append(got.index)
                self.keys[end][got.index] = got.key
            self._over.wait(0.01)

    @property
    def common(self) -> int:
        """How many keys both have."""
        return len(self.keys[0].keys() & self.keys[1].keys())

    def more(self, count: int, patience: float = 60.0) -> None:
        """Wait until both have so many more keys."""
        wanted = self.common + count
        eventually(lambda: self.common >= wanted, patience)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """What must hold of all that was read."""
        assert self.twice == []
        assert [i for i in self.keys[0].keys() & self.keys[1].keys() if self.keys[0][i] != self.keys[1][i]] == []


class Net:
    """A deployed network and how to look at it."""

    def __init__(self, box: Sandbox, file: Path) -> None:
        self.home, self.name, self.file = box.home, box.name, file
        self.folder = box.home / box.name
        self.local = Local(box.home)
        self.stack = ExitStack()

    def client(self, node: str, **how: object) -> Client:
        return self.stack.enter_context(Client(node, network=self.name, home=self.home, **how))  # type: ignore[arg-type]

    def settings(self, node: str) -> NodeSettings:
        return load_settings(self.folder / node)

    def pair(self, node: str) -> KeyPair:
        return KeyPair.read(self.folder / node / "certs" / "node.json")

    def status(self) -> NetworkStatus:
        return self.local.status(self.name)

    def pids(self) -> dict[tuple[str, str, int], int | None]:
        return {(n.node, one.layer, one.replica): one.pid for n in self.status().nodes for one in n.layers}

    def reader(self, source: str, destination: str, here: Client | None = None, app: str = "") -> Reader:
        """Open a stream at both ends; both will be read."""
        number = next(_numbers)
        names = f"{app or f'app{number}'}@{source}", f"app{number}@{destination}"
        ends = here or self.client(source), self.client(destination)
        opened = ends[0].open_connect(*names, QoS(key_chunk_size=8, timeout=3000))
        assert opened.ksid is not None, opened
        joined = ends[1].open_connect(*names, ksid=opened.ksid)
        assert joined.status == Status.SUCCESSFUL, joined
        reader = Reader(names, opened.ksid, ends)
        self.stack.callback(reader.stop)
        return reader

    def command(self, *words: str, patience: float = 120.0) -> str:
        """Run `qkdbus` in this network's home; return what it says."""
        done = subprocess.run(
            [*QKDBUS, *words],
            env={**os.environ, "QKDBUS_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def knock(
        self, context: zmq.Context[zmq.Socket[bytes]], node: str, port: int, pair: KeyPair | None, server_key: str
    ) -> zmq.Socket[bytes]:
        """Ask at a door who is there; the socket will have the answer if somebody lets us in."""
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        if pair is not None:
            secure_client(socket, pair, server_key)
        socket.connect(f"tcp://127.0.0.1:{port}")
        head = Head(method="ping", caller=os.urandom(16), call=1, settled=1, patience_ms=1000)
        socket.send_multipart([b"", PROTOCOL, head.SerializeToString(), Ping().SerializeToString()])
        return socket


def eventually(holds: Callable[[], object], patience: float = 60.0, every: float = 0.05) -> None:
    ends = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < ends, f"not within {patience:g} s"
        time.sleep(every)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return eventually


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """Alice - Bob - Charlie. Tests leave it working."""
    file = tmp_path_factory.mktemp("guarded") / "guarded.yaml"
    file.write_text(THREE)
    with sandbox(load(file)) as box:
        made = Net(box, file)
        try:
            yield made
        finally:
            made.stack.close()


@pytest.fixture
def key_of() -> Callable[..., Key]:
    def fetch(client: Client, ksid: UUID, patience: float = 60.0) -> Key:
        ends = time.monotonic() + patience
        while (got := client.get_key(ksid)).status != Status.SUCCESSFUL:
            assert time.monotonic() < ends, got
        return got

    return fetch


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)
