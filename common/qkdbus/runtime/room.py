"""The room that a service is built in: everything that touches the world, handed in by the door."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import zmq
from zmq.utils import z85

from .. import __version__
from ..bus.asker import Asker
from ..bus.curve import AppsFile, Gatekeeper, KeyPair, secure_server
from ..bus.events import Listener, Publisher
from ..bus.server import Server
from ..bus.sockets import LARGEST, LARGEST_FROM_APPLICATIONS, router
from ..contracts.contract import Contract
from ..wire.head_pb2 import Event
from .health import Face, Vitals
from .settings import NodeSettings

Door = Literal["inner", "peers", "north"]
TIDY = 30.0  # s between rounds of forgetting


class Service(Protocol):
    """What `build(room)` returns: the layer, wired."""

    async def start(self) -> None:
        """Begin: called once, in the loop, after build."""

    async def stop(self) -> None:
        """Drain and end, within about a second."""

    def waiting_for(self) -> str:
        """Return "" when ready, else what it waits for."""


class Build(Protocol):
    """A layer's composition root: settings in, wired layer out."""

    def __call__(self, room: Room, /) -> Service:
        """Wire the layer; touch nothing of the world but through `room`."""


class Room:
    """Sockets, log, clock, counters of one service. Made inside the running loop."""

    def __init__(self, settings: NodeSettings, layer: str, replica: int, log: logging.Logger) -> None:
        self.settings, self.layer, self.replica, self.log = settings, layer, replica, log
        self.clock: Callable[[], float] = time.time
        self.monotonic: Callable[[], float] = time.monotonic
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

        def public() -> str:
            return settings.model_dump_json(exclude={"directory", "run"})

        self.vitals = Vitals(settings.name, layer, replica, f"qkdbus {__version__}", self.clock(), public)
        self.counters: Counter[str] = self.vitals.counters
        self.gauges = self.vitals.gauges
        self._servers: list[Server] = []
        self._askers: list[Asker] = []
        self._listeners: list[Listener] = []
        self._pair: KeyPair | None = None
        self._gatekeeper: Gatekeeper | None = None
        self._publisher: Publisher | None = None
        self._tidying: asyncio.TimerHandle | None = None
        _make_private(settings.run)

    # -- what a layer asks for
    def publish(self, event: str, **fields: object) -> None:
        """Publish an event on `<layer>.events` (`qbackend.<n>.events` for a replicated layer); never waits."""
        if self._publisher is None:
            name = f"{self.layer}.{self.replica}" if self.layer == "qbackend" else self.layer
            endpoint = self.settings.ipc(f"{name}.events")
            self._publisher = Publisher(
                self.context, endpoint, self.settings.name, self.layer, self.replica, self.clock
            )
        self._publisher.publish(event, **fields)

    def serve(
        self,
        endpoint: str,
        contract: Contract,
        target: object,
        *,
        door: Door = "inner",
        commit: Callable[[], None] | None = None,
    ) -> None:
        """Serve `target` at `endpoint`. The door says who may come in: this node, its neighbours, applications."""
        socket = router(self.context, LARGEST_FROM_APPLICATIONS if door == "north" else LARGEST)
        still = None
        if door != "inner":
            still = self._guard(door)
            secure_server(socket, self._own_pair(), door)
        socket.bind(endpoint)
        if endpoint.startswith("ipc://"):
            os.chmod(endpoint.removeprefix("ipc://"), stat.S_IRUSR | stat.S_IWUSR)
        server = Server(
            socket,
            contract,
            Face(target, self.vitals, contract.version),
            secured=door != "inner",
            log=self.log,
            counters=self.counters,
            clock=self.monotonic,
            fatal=self.die,
            commit=commit,
            still=still,
        )
        self._servers.append(server)
        if self._tidying is None:
            self._tidy()

    def asker(self, endpoint: str, contract: Contract, *, server_key: str = "") -> Asker:
        """Return a caller of `endpoint`; with `server_key` over CURVE, as this node."""
        pair = self._own_pair() if server_key else None
        asker = Asker(self.context, endpoint, contract, os.urandom(16), pair=pair, server_key=server_key)
        self._askers.append(asker)
        return asker

    def listen(self, endpoint: str, prefixes: Sequence[str], heard: Callable[[Event], None]) -> None:
        """Hear the events of a publisher; it may start later or start again."""

        def missed(count: int) -> None:
            self.counters["events_missed"] += count

        self._listeners.append(Listener(self.context, endpoint, prefixes, heard, missed))

    def die(self, error: BaseException) -> None:
        """End this process now: what it holds in memory is not what is durable. supervisord starts it again."""
        self.log.critical("fatal", extra={"kind": type(error).__name__}, exc_info=error)
        for handler in self.log.handlers:
            handler.flush()
        os._exit(70)

    def close(self) -> None:
        """Close every socket."""
        if self._tidying is not None:
            self._tidying.cancel()
        for server in self._servers:
            server.close()
        for asker in self._askers:
            asker.close()
        for listener in self._listeners:
            listener.close()
        if self._publisher is not None:
            self._publisher.close()
        if self._gatekeeper is not None:
            self._gatekeeper.close()
        self.context.destroy(linger=0)  # whatever a build that failed has left open, too

    # -- keys and doors
    def _own_pair(self) -> KeyPair:
        if self._pair is None:
            self._pair = KeyPair.read(self.settings.certs / "node.json")
        return self._pair

    def _guard(self, door: Door) -> Callable[[str, str], bool] | None:
        """Have the door guarded; return who tells whether a sender is still let in, where that may change."""
        if self._gatekeeper is None:
            self._gatekeeper = Gatekeeper(self.context, self._refused)
        if door == "north":
            apps = AppsFile(self.settings.certs / "apps.json", self.monotonic)
            self._gatekeeper.guard(door, apps)
            return apps.still
        neighbours = {z85.decode(n.public_key.encode()): n.name for n in self.settings.neighbours}

        def known() -> Mapping[bytes, str]:
            return neighbours

        self._gatekeeper.guard(door, known)
        return None

    def _refused(self, door: str, address: str) -> None:
        self.counters["refused_at_door"] += 1
        self.log.warning("refused_at_door", extra={"door": door, "address": address})

    def _tidy(self) -> None:
        for server in self._servers:
            server.tidy()
        self._tidying = asyncio.get_running_loop().call_later(TIDY, self._tidy)


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
