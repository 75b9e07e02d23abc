"""Readers at both ends of key streams, and something that kills under them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from qkdbus.errors import QkdbusError
from qkdbus_client import AsyncClient, Client, Key, Keys, QoS, Status

sys.path.insert(0, str(Path(__file__).parents[3]))  # benchmarks are not installed

from benchmarks.chaos.check import Delivery, End, Stream, violations
from benchmarks.chaos.programs import Programs

if TYPE_CHECKING:
    from ..conftest import Net

# The stream is told to be gone, or a call failed for good: nothing that a kill excuses.
LOST = (Status.NO_QKD_CONNECTION, Status.STREAM_NOT_FOUND)
PATIENCE = 60.0  # s that a caller repeats one call; a call given up could take its key with it
PACE = 0.02  # s between the calls of a reader: the machine is to be busy, not drowned
CHUNK, WINDOW = 8, 64
BEYOND = WINDOW // CHUNK + 5  # keys from now on, of which the last was surely not agreed yet: 4 may be in one call
NETWORK = f"""\
qkdbus_version: 1
name: killed
nodes:
  - {{node_name: Alice, neighbour_nodes: [Bob]}}
  - {{node_name: Bob, neighbour_nodes: [Alice, Charlie]}}
  - {{node_name: Charlie, neighbour_nodes: [Bob]}}
links:
  - {{between: [Bob, Charlie], emulator: ideal}}
  - {{between: [Alice, Bob], emulator: EMULATOR}}
link_defaults: {{block_bits: 512}}
buffers: {{window_bytes: {WINDOW}}}
"""


class Reader(threading.Thread):
    """Fetches one end's keys, one call after the other, and remembers which came (not what they are)."""

    def __init__(self, node: str, ksid: UUID, client: Client, count: int) -> None:
        super().__init__(daemon=True)
        self.node, self.ksid, self.client, self._count = node, ksid, client, count
        self.keys: list[tuple[int, bytes]] = []
        self.statuses: Counter[str] = Counter()
        self.trouble = ""
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set() and not self.trouble:
            self.read(self._count)
            time.sleep(PACE)

    def read(self, count: int) -> None:
        try:
            if count == 1:
                self.note(self.client.get_key(self.ksid, metadata_size=0))
            else:
                self.note(self.client.get_keys(self.ksid, count))
        except QkdbusError as error:
            self.trouble = f"{self.node}: {type(error).__name__}: {error}"

    def note(self, got: Key | Keys) -> None:
        self.statuses[got.status.name] += 1
        if got.status in LOST:
            self.trouble = f"{self.node}: {got.status.name}: {got.reason}"
        elif got.status == Status.SUCCESSFUL:
            keys = got.keys if isinstance(got, Keys) else (got.key,)
            self.keys += [(got.index + n, hashlib.sha256(key).digest()) for n, key in enumerate(keys)]

    def catch_up(self, count: int) -> None:
        ends = time.monotonic() + PATIENCE
        while len(self.keys) < count and not self.trouble:
            assert time.monotonic() < ends, f"{self.node} got {len(self.keys)} of {count} keys: {self.statuses}"
            self.read(1)


class CrowdedReader(Reader):
    """The same with many calls in flight, over one socket."""

    def __init__(self, node: str, ksid: UUID, client: Client, net: Net) -> None:
        super().__init__(node, ksid, client, 1)
        self._net = net

    def run(self) -> None:
        asyncio.run(self._crowd())

    async def _crowd(self) -> None:
        async with AsyncClient(self.node, network=self._net.name, home=self._net.home, patience=PATIENCE) as client:
            await asyncio.gather(*(self._one(client) for _ in range(8)))

    async def _one(self, client: AsyncClient) -> None:
        while not self.stopped.is_set() and not self.trouble:
            try:
                self.note(await client.get_key(self.ksid, metadata_size=0))
                await asyncio.sleep(8 * PACE)
            except QkdbusError as error:
                self.trouble = f"{self.node}: {type(error).__name__}: {error}"


class Load:
    """Streams that are read at both ends all the time."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.pairs: list[tuple[Reader, Reader]] = []

    def add(self, source: str, destination: str, *counts: int) -> None:
        """Read a new stream; `counts`: keys per call at each end, 0 for many calls in flight."""
        ends = self.net.open(source, destination, QoS(key_chunk_size=CHUNK, timeout=1000))
        pair = [self._reader(node, ends.ksid, n) for node, n in zip((source, destination), counts, strict=True)]
        self.pairs.append((pair[0], pair[1]))
        for reader in pair:
            reader.start()

    def _reader(self, node: str, ksid: UUID, count: int) -> Reader:
        client = self.net.client(node, patience=PATIENCE)
        return Reader(node, ksid, client, count) if count else CrowdedReader(node, ksid, client, self.net)

    @property
    def readers(self) -> list[Reader]:
        return [reader for pair in self.pairs for reader in pair]

    def counts(self) -> list[int]:
        return [len(reader.keys) for reader in self.readers]

    def wait_for(self, counts: list[int], patience: float) -> None:
        """Wait until every reader has as many keys."""
        ends = time.monotonic() + patience
        while any(here < wanted for here, wanted in zip(self.counts(), counts, strict=True)):
            self.check()
            assert time.monotonic() < ends, f"{self.counts()} keys after {patience:g} s, not {counts}"
            time.sleep(0.02)

    def check(self) -> None:
        assert not [reader.trouble for reader in self.readers if reader.trouble]

    def finish(self) -> int:
        """Stop reading; hold what came at the two ends against each other. Returns how many keys came."""
        for reader in self.readers:
            reader.stopped.set()
        for reader in self.readers:
            reader.join(PATIENCE)
            assert not reader.is_alive()
        self.check()
        for pair in self.pairs:
            most = max(len(reader.keys) for reader in pair)
            for reader in pair:
                reader.catch_up(most)
        self.check()
        assert not violations([_stream(number, *pair) for number, pair in enumerate(self.pairs)])
        return sum(self.counts())


def _stream(number: int, one: Reader, other: Reader) -> Stream:
    until = max(len(one.keys), len(other.keys))
    ends = [End(end.node, [Delivery(index, key) for index, key in end.keys], until=until) for end in (one, other)]
    return Stream(f"stream {number}", (ends[0], ends[1]))


class Killer:
    """Kills programs and says how long it took until everything went on."""

    def __init__(self, load: Load) -> None:
        self.load, self.net = load, load.net
        self._programs = Programs(load.net.home / load.net.name)
        self.took: list[tuple[str, float, float]] = []

    def kill(self, node: str, layer: str, patience: float = 180.0) -> None:
        """Kill -9 a program; return when it is back and every reader has keys that were not agreed before."""
        pid = self.net.pids()[node, layer]
        before = self.load.counts()
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self._back(node, layer, pid, patience)
        ready = time.monotonic() - began
        self.load.wait_for([count + BEYOND for count in before], patience)
        self.took.append((f"{layer} at {node}", ready, time.monotonic() - began))

    def strike(self, node: str, layer: str) -> bool:
        """Kill -9 a program and do not wait; whether there was one."""
        return self._programs.strike(node, layer, signal.SIGKILL) is not None

    def all_ready(self, patience: float) -> None:
        ends = time.monotonic() + patience
        while self.net.status().state != "ready":
            assert time.monotonic() < ends, [
                (node.node, layer.layer, layer.state, layer.reason)
                for node in self.net.status().nodes
                for layer in node.layers
                if layer.state != "ready"
            ]
            time.sleep(0.05)

    def _back(self, node: str, layer: str, pid: int, patience: float) -> None:
        ends = time.monotonic() + patience
        while True:
            status = self.net.status()
            now = self.net.pids_of(status)
            if now[node, layer] not in (0, pid) and status.state == "ready":
                return
            assert time.monotonic() < ends, f"{layer} at {node} is not back after {patience:g} s: {now}"
            time.sleep(0.02)

    def report(self) -> str:
        lines = [
            f"  {who:24s} ready again {ready:5.2f} s, new keys at every end {flow:5.2f} s"
            for who, ready, flow in self.took
        ]
        return "\n".join(lines)


@pytest.fixture
def load_of(network: Callable[[str], Net]) -> Iterator[Callable[[str], Load]]:
    """Deploy a network of one's own from the text of its file, to be read from."""
    made: list[Load] = []

    def make(text: str) -> Load:
        made.append(Load(network(text)))
        return made[-1]

    yield make
    for load in made:
        for reader in load.readers:
            reader.stopped.set()
        for reader in load.readers:
            reader.join(5)


@pytest.fixture(params=["simulaqron"])
def load(request: pytest.FixtureRequest, network: Callable[[str], Net]) -> Iterator[Load]:
    """A network of its own, read at both ends: Alice - Bob over what is asked for, Bob - Charlie over ideal pairs."""
    load = Load(network(NETWORK.replace("EMULATOR", request.param)))
    yield load
    for reader in load.readers:
        reader.stopped.set()
    for reader in load.readers:
        reader.join(5)


@pytest.fixture
def killer(load: Load) -> Iterator[Killer]:
    killer = Killer(load)
    yield killer
    print(f"\nkill -9, and how long it took:\n{killer.report()}")
