"""The stage: two nodes on this machine, the processes of one layer on them, and room for stand-ins around it.

Node folders are made by whoever knows how (the deployer) and handed in as a `Ground`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from ..bus.curve import KeyPair
from ..contracts.contract import Contract
from ..errors import Failed
from ..runtime import Room
from ..runtime.settings import NodeSettings
from ..wire.head_pb2 import Health, Ping
from .check import Breach
from .line import Context, Line
from .process import Process

READY_WITHIN = 120.0  # s: machines may be slow
LOOK = 0.05


@dataclass(frozen=True)
class Node:
    """A node whose folder is there: `node.yaml`, `certs/`, an empty `state/`.

    Attributes:
        apps: applications that it lets in, with the pairs by which they come.
    """

    settings: NodeSettings
    apps: Mapping[str, KeyPair] = field(repr=False)

    @property
    def server_key(self) -> str:
        """The public key of its doors."""
        return KeyPair.read(self.settings.certs / "node.json").public


@dataclass(frozen=True)
class Ground:
    """Nodes with folders of their own, below `folder`."""

    folder: Path
    nodes: Mapping[str, Node]


@dataclass(frozen=True)
class Subject:
    """What is under test, as a caller sees it.

    Attributes:
        stage: where it runs; None when nothing but its endpoint is known.
        pair, server_key: how to come in through a CURVE door.
    """

    layer: str
    contract: Contract
    endpoint: str
    context: Context
    stage: Stage | None = None
    pair: KeyPair | None = None
    server_key: str = ""

    def line(self) -> Line:
        """Return a new caller; close it when done."""
        return Line(self.context, self.endpoint, pair=self.pair, server_key=self.server_key)

    async def health(self) -> Health:
        """Return what it says of itself."""
        line = self.line()
        try:
            return (await line.ask("ping", Ping())).read(Health)
        finally:
            line.close()


class Stage:
    """The processes of one layer at some of the nodes. Make it inside a running loop."""

    def __init__(self, ground: Ground, layer: str, contract: Contract, commands: Mapping[str, Sequence[str]]) -> None:
        self.ground, self.layer, self.contract = ground, layer, contract
        self._umask = os.umask(0o077)  # stand-ins make sockets, and are no better than the layer has to be
        self.context: Context = zmq.Context()
        self.seen: set[bytes] = set()  # key bits that were handed out: they must be in no log
        self.processes = {name: self._process(name, command) for name, command in commands.items()}
        self._rooms: list[Room] = []
        self._log = logging.getLogger("qkdbus.conformance")
        self._log.addHandler(logging.NullHandler())
        self._log.propagate = False

    def _process(self, name: str, command: Sequence[str]) -> Process:
        directory = self.settings(name).directory
        replica = ("--replica", "0") if self.layer == "qbackend" else ()
        return Process([*command, str(directory), *replica], directory, directory / "logs" / f"{self.layer}.log")

    # -- nodes
    def settings(self, name: str) -> NodeSettings:
        """Return what a node's services read at start."""
        return self.ground.nodes[name].settings

    def endpoint(self, name: str) -> str:
        """Return where the layer listens at a node, for the layer above it."""
        return self.settings(name).ipc("qbackend.0" if self.layer == "qbackend" else self.layer)

    def subject(self) -> Subject:
        """Return the layer's process at the first node."""
        name = next(iter(self.processes))
        return Subject(self.layer, self.contract, self.endpoint(name), self.context, self)

    def line(self, name: str, *, caller: bytes = b"") -> Line:
        """Return a new caller of the layer at a node; close it when done."""
        return Line(self.context, self.endpoint(name), caller=caller)

    def room(self, name: str, layer: str, replica: int = 0) -> Room:
        """Return a room for a stand-in; `leave` closes it, or the end of the stage."""
        room = Room(self.settings(name), layer, replica, self._log)
        room.vitals.waiting_for = lambda: ""
        self._rooms.append(room)
        return room

    def leave(self, room: Room) -> None:
        """Close a stand-in's room: whoever asks it hears nothing any more."""
        self._rooms.remove(room)
        room.close()

    # -- processes
    async def start(self, names: Iterable[str] = ()) -> None:
        """Start the processes that do not run (at these nodes), and wait until all of them are ready."""
        self.launch(names)
        await self.ready(names)

    def launch(self, names: Iterable[str] = ()) -> None:
        """Start the processes that do not run (at these nodes)."""
        for name in names or self.processes:
            if not self.processes[name].lives:
                self.processes[name].start()

    def kill(self, *names: str) -> None:
        """End processes as `kill -9` does; all of them when none is named."""
        for name in names or self.processes:
            self.processes[name].kill()

    async def restart(self, *names: str) -> None:
        """Kill processes and start them again."""
        self.kill(*names)
        await self.start(names)

    def wipe_state(self, name: str) -> None:
        """Lose all that a node's processes have kept; they must not run."""
        state = self.settings(name).directory / "state"
        shutil.rmtree(state)
        state.mkdir(mode=0o700)

    async def ready(self, names: Iterable[str] = (), within: float = READY_WITHIN) -> None:
        """Wait until processes say that they are ready. Failed when one does not, with why."""
        ends = time.monotonic() + within
        for name in names or self.processes:
            await self._ready(name, ends, within)

    async def _ready(self, name: str, ends: float, within: float) -> None:
        process, line, said = self.processes[name], self.line(name), "it does not answer ping"
        try:
            while time.monotonic() < ends:
                if not process.lives:
                    break
                try:
                    health = (await line.ask("ping", Ping(), patience=1.0)).read(Health)
                except Breach as breach:
                    said = f"ping: {breach.came}"
                    continue
                if health.ready:
                    return
                said = f"it waits for {health.waiting_for or 'something that it does not name'}"
                await asyncio.sleep(LOOK)
        finally:
            line.close()
        why = f"after {within:g} s {said}" if process.lives else process.how_it_ended()
        words = process.last_words()
        raise Failed(f"{self.layer} at {name} is not ready: {why}" + (f"\n{words}" if words else ""))

    async def since(self, name: str) -> float:
        """Return when a node's process says that it started (Unix time, s)."""
        line = self.line(name)
        try:
            return (await line.ask("ping", Ping())).read(Health).since
        finally:
            line.close()

    async def listens(self, endpoint: str) -> bool:
        """Tell whether anybody listens at a TCP endpoint."""
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        return True

    def fallen(self) -> str:
        """Say which processes have ended though nobody ended them; "" when none has."""
        return "; ".join(
            f"{self.layer} at {name}: {process.how_it_ended()}"
            for name, process in self.processes.items()
            if process.wanted and not process.lives
        )

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill()
        for room in self._rooms:
            room.close()
        self.context.destroy(linger=0)
        os.umask(self._umask)
