"""Two emulator programs (or more) as real processes, asked over the real bus."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
import zmq

from qkdbus.bus.asker import Asker
from qkdbus.contracts.emulator import CONTRACT
from qkdbus.errors import QkdbusError
from qkdbus.network.model import LinkSettings
from qkdbus.runtime.settings import Neighbour, NodeSettings, Ports
from qkdbus.wire.emulator_pb2 import Lines, ListLines
from qkdbus_qbackend.emulators.simulaqron.port_client import SimulaqronEmulator

PORTS = Ports(north=1, keymanager=1, keysync=1, qbackend=(1,))


class Lab:
    """Nodes in a chain; each link's first node is its arbiter and source.

    Args:
        link: settings of every link.
        special: settings of single links instead, by their first node.
    """

    def __init__(
        self,
        folder: Path,
        names: list[str],
        link: dict[str, Any],
        special: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    ) -> None:
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
            ports=PORTS,
            public_key="",
            arbiter=arbiter,
            link=LinkSettings.model_validate(link),
            emulator_socket=str(self.socket(name)),
        )

    def _write(self, name: str, neighbours: tuple[Neighbour, ...]) -> None:
        directory = self.folder / name
        directory.mkdir()
        settings = NodeSettings(
            network="lab",
            name=name,
            host="127.0.0.1",
            directory=directory,
            run=directory / "run",
            ports=PORTS,
            nodes=tuple(self.names),
            neighbours=neighbours,
        )
        (directory / "node.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))

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

    def emulator(self, name: str, patience: float = 20.0) -> SimulaqronEmulator:
        return SimulaqronEmulator(self.asker(name), patience)

    async def lines(self, name: str) -> Lines:
        answer = await self.asker(name).ask("list_lines", ListLines(), patience=2.0)
        assert isinstance(answer, Lines)
        return answer

    async def connected(self, name: str, peers: int = 1, within: float = 15.0) -> None:
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
            await self.connected(name, (place > 0) + (place < len(self.names) - 1))

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


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a Unix socket holds at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="lab") as name:
        yield Path(name)


@pytest.fixture
async def make_lab(folder: Path) -> AsyncIterator[Callable[..., Lab]]:
    """Make a lab of one's own: `make_lab("Alice", "Bob", engine="qutip")`. Its programs end with the test."""
    labs: list[Lab] = []

    def make(*names: str, **link: Any) -> Lab:
        labs.append(Lab(folder, list(names), link))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


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
