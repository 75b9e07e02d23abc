"""Two emulator programs (or more) as real processes, asked over the real bus."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
import zmq

from qkdbus.bus.asker import Asker
from qkdbus.bus.curve import KeyPair
from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.contracts.emulator import CONTRACT
from qkdbus.errors import QkdbusError, Unavailable
from qkdbus.network.model import LinkSettings
from qkdbus.runtime.settings import Neighbour, NodeSettings, Ports
from qkdbus.wire.emulator_pb2 import AwaitPairs, CreatePairs, Lines, ListLines, Measure
from qkdbus.wire.qbackend_pb2 import Attacked
from qkdbus_qbackend.emulators.simulaqron.channels import Channel
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.port_client import SimulaqronEmulator
from qkdbus_qbackend.emulators.simulaqron.registers import Registers
from qkdbus_qbackend.emulators.simulaqron.service import SimulaqronService
from qkdbus_qbackend.emulators.simulaqron.turns import Turns

CALL = Call(OPERATOR, patience=0.3)
PORTS = Ports(north=1, keymanager=1, keysync=1, qbackend=(1,))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Lab:
    """Nodes in a chain; each link's first node is its arbiter and source.

    Args:
        link: settings of every link.
        special: settings of single links instead, by their first node.
        far: each node is on a host of its own, as far as the others know.
    """

    def __init__(
        self,
        folder: Path,
        names: list[str],
        link: dict[str, Any],
        special: Mapping[str, dict[str, Any]] = MappingProxyType({}),
        far: bool = False,
    ) -> None:
        self.keys = {name: KeyPair.new() for name in names} if far else {}
        self.doors = {name: free_port() for name in names} if far else {}
        self.folder, self.names = folder, names
        self.home = folder / "home"
        self.home.mkdir()
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._askers: dict[str, Asker] = {}
        for place, name in enumerate(names):
            neighbours = [
                self._neighbour(other, place < there, special.get(names[min(place, there)], link))
                for there, other in enumerate(names)
                if abs(there - place) == 1
            ]
            self._write(name, tuple(neighbours))

    def _neighbour(self, name: str, arbiter: bool, link: dict[str, Any]) -> Neighbour:
        return Neighbour(
            name=name,
            host="127.0.0.1",
            ports=PORTS.model_copy(update={"emulator": self.doors.get(name, 0)}),
            public_key=self.keys[name].public if self.keys else "",
            arbiter=arbiter,
            link=LinkSettings.model_validate(link),
            emulator_socket="" if self.keys else str(self.socket(name)),
        )

    def _write(self, name: str, neighbours: tuple[Neighbour, ...]) -> None:
        directory = self.folder / name
        (directory / "certs").mkdir(parents=True)
        if self.keys:
            pair = {"public_key": self.keys[name].public, "secret_key": self.keys[name].secret}
            (directory / "certs" / "node.json").write_text(json.dumps(pair))
        settings = NodeSettings(
            network="lab",
            name=name,
            host="127.0.0.1",
            directory=directory,
            run=directory / "run",
            ports=PORTS.model_copy(update={"emulator": self.doors.get(name, 0)}),
            nodes=tuple(self.names),
            neighbours=neighbours,
        )
        (directory / "node.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))

    def detour(self, name: str, peer: str, port: int) -> None:
        """Have `name`, before it starts, reach its neighbour at another port."""
        file = self.folder / name / "node.yaml"
        said = yaml.safe_load(file.read_text())
        [neighbour] = [one for one in said["neighbours"] if one["name"] == peer]
        neighbour["ports"]["emulator"] = port
        file.write_text(yaml.safe_dump(said))

    def socket(self, name: str) -> Path:
        return self.folder / name / "run" / "simulaqron.sock"

    def start(self, name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "qkdbus_qbackend.emulators.simulaqron", str(self.folder / name)]
        with (self.folder / f"{name}.log").open("ab") as log:
            environment = {**os.environ, "HOME": str(self.home)}
            program = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)
        self.programs[name] = program
        return program

    def kill(self, name: str) -> None:
        self.programs[name].kill()
        self.programs[name].wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        self.programs[name].send_signal(number)

    def asker(self, name: str) -> Asker:
        if name not in self._askers:
            endpoint = f"ipc://{self.folder}/{name}/run/emulator"
            self._askers[name] = Asker(self.context, endpoint, CONTRACT, os.urandom(16))
        return self._askers[name]

    def emulator(self, name: str, patience: float = 60.0) -> SimulaqronEmulator:
        return SimulaqronEmulator(self.asker(name), patience)

    async def lines(self, name: str) -> Lines:
        answer = await self.asker(name).ask("list_lines", ListLines(), patience=10.0)
        assert isinstance(answer, Lines)
        return answer

    async def connected(self, name: str, peers: int = 1, within: float = 60.0) -> None:
        async with asyncio.timeout(within):
            while True:
                try:
                    if len((await self.lines(name)).peers_up) == peers:
                        return
                except QkdbusError:
                    pass  # not up yet
                await asyncio.sleep(0.02)

    async def up(self) -> None:
        for name in self.names:
            self.start(name)
        for place, name in enumerate(self.names):
            await self.connected(name, (place > 0) + (place < len(self.names) - 1), within=40.0)

    def hang_up(self) -> None:
        """Close what belongs to one event loop; the programs stay."""
        for asker in self._askers.values():
            asker.close()
        self._askers.clear()
        self.context.destroy(linger=0)
        self.context = zmq.Context()

    def close(self) -> None:
        for program in self.programs.values():
            program.kill()
            program.wait()
        self.hang_up()
        self.context.term()


class Relay:
    """A piece of cable: TCP that takes time, and can be cut."""

    def __init__(self, target: int, delay: float) -> None:
        self.target, self.delay, self.port = target, delay, free_port()
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def lay(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)

    def hold(self) -> None:
        """Let nothing through any more; nobody is told."""
        self._whole.clear()

    def release(self) -> None:
        self._whole.set()

    def drop(self) -> None:
        """End all connections; others may follow at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
            for job in (self._in(source, under_way), self._out(under_way, sink)):
                task = asyncio.create_task(job)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _in(self, source: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"."
        while data:
            try:
                data = await source.read(1 << 16)
            except OSError:
                data = b""
            under_way.put_nowait((time.monotonic() + self.delay, data))

    async def _out(self, under_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - time.monotonic())
            await self._whole.wait()
            if not data:
                sink.transport.abort()
                return
            sink.write(data)


class Wire:
    """The neighbours of one service: the other service, with everything that passed written down."""

    def __init__(self, me: str) -> None:
        self.me = me
        self.far: SimulaqronService | None = None
        self.there = True
        self.passed: list[tuple[object, ...]] = []

    def up(self) -> list[str]:
        return [] if self.far is None or not self.there else ["Bob" if self.me == "Alice" else "Alice"]

    def other_end(self) -> SimulaqronService:
        if self.far is None or not self.there:
            raise Unavailable("cut")
        return self.far

    async def announce(self, peer: str, line: str, batch: int, count: int) -> str:
        self.passed.append((line, batch, count))
        return self.other_end().arrived(self.me, line, batch, count)

    async def measure(self, peer: str, line: str, batch: int, bases: bytes) -> bytes:
        try:
            return await self.other_end().measure_travelled(self.me, line, batch, bases)
        except QkdbusError as error:
            raise Unavailable(str(error)) from None

    def forget(self, peer: str, line: str) -> None:
        if self.far is not None:
            self.far.forgotten(self.me, line)


class CountedTurns(Turns):
    """Turns enough for all while `open` is set; `held` are those that were not given back."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.held: list[int] = []
        self.taken = 0

    async def take(self) -> int:
        await self.open.wait()
        self.taken += 1
        self.held.append(self.taken)
        return self.taken

    def give_back(self, turn: int | None) -> None:
        if turn is not None:
            self.held.remove(turn)


@dataclass
class Two:
    alice: SimulaqronService
    bob: SimulaqronService
    wire: Wire
    registers: Registers
    turns: CountedTurns
    now: list[float] = field(default_factory=lambda: [0.0])

    async def pairs(self, count: int, line: str = "job") -> int:
        made = await self.alice.create_pairs(CreatePairs(peer="Bob", line=line, count=count), CALL)
        return made.batch

    async def arrived(self, line: str = "job") -> tuple[int, int]:
        batch = await self.bob.await_pairs(AwaitPairs(peer="Alice", line=line), CALL)
        return batch.batch, batch.count

    async def at_alice(self, batch: int, bases: bytes, line: str = "job") -> bytes:
        request = Measure(peer="Bob", line=line, batch=batch, bases=bases)
        return (await self.alice.measure(request, CALL)).outcomes

    async def at_bob(self, batch: int, bases: bytes, line: str = "job") -> bytes:
        request = Measure(peer="Alice", line=line, batch=batch, bases=bases)
        return (await self.bob.measure(request, CALL)).outcomes


@pytest.fixture
def two() -> Two:
    now = [0.0]
    wires = {"Alice": Wire("Alice"), "Bob": Wire("Bob")}
    services, registers, turns = {}, {}, {"Alice": CountedTurns(), "Bob": CountedTurns()}
    for name, peer in (("Alice", "Bob"), ("Bob", "Alice")):
        registers[name] = Registers(QkdVirtualNode(name, 10_000, lambda _peer, _link: None), random.Random(3))
        services[name] = SimulaqronService(
            registers[name],
            wires[name],
            {peer: Channel()},
            turns=turns[name],
            attack=lambda request: Attacked(here=request.peer == "Bob"),
            monotonic=lambda: now[0],
            counters=Counter(),
            log=logging.getLogger("test"),
        )
    wires["Alice"].far, wires["Bob"].far = services["Bob"], services["Alice"]
    return Two(services["Alice"], services["Bob"], wires["Alice"], registers["Alice"], turns["Alice"], now)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a Unix socket holds at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="lab") as name:
        yield Path(name)


@pytest.fixture
async def make_lab(folder: Path) -> AsyncIterator[Callable[..., Lab]]:
    """Make a lab of one's own: `make_lab("Alice", "Bob", engine="qutip")`. Its programs end with the test."""
    labs: list[Lab] = []

    def make(*names: str, far: bool = False, **link: Any) -> Lab:
        labs.append(Lab(folder, list(names), link, far=far))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture
async def make_relay() -> AsyncIterator[Callable[..., Awaitable[Relay]]]:
    """Lay a cable of one's own to a port: `await make_relay(port, delay=0.01)`, s each way."""
    relays: list[Relay] = []

    async def make(target: int, delay: float = 0.0) -> Relay:
        relays.append(Relay(target, delay))
        await relays[-1].lay()
        return relays[-1]

    yield make
    for relay in relays:
        await relay.close()


@pytest.fixture(scope="session")
def running() -> Iterator[Lab]:
    """Three nodes whose programs run as long as the tests; the link Bob - Charlie flips Z and Y."""
    with tempfile.TemporaryDirectory(prefix="lab") as name:
        lab = Lab(Path(name), ["Alice", "Bob", "Charlie"], {}, {"Bob": {"noise": {"x": 1.0}}})
        for node in lab.names:
            lab.start(node)
        yield lab
        lab.close()


@pytest.fixture
async def lab(running: Lab) -> AsyncIterator[Lab]:
    """Alice - Bob - Charlie, linked and empty; for tests that leave them alive."""
    for name, peers in (("Alice", 1), ("Bob", 2), ("Charlie", 1)):
        await running.connected(name, peers)
    yield running
    running.hang_up()
