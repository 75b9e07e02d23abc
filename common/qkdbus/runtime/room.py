"""The room that a service is built in: everything that touches the world, handed in by the door."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import zmq

from .. import __version__, trace
from ..bus.asker import Asker
from ..bus.curve import KeyPair
from ..bus.events import Listener, Publisher
from ..bus.server import Server
from ..bus.sockets import LARGEST_FROM_APPLICATIONS, LARGEST_FROM_NEIGHBOURS, narrow, router
from ..contracts.contract import Contract
from ..contracts.keysync import AVAILABLE
from ..wire.head_pb2 import Event
from . import clock
from .doorway import Doorway
from .eventlog import SUFFIX, EventLog
from .health import Face, Vitals
from .settings import NodeSettings
from .telling import Telling

Door = Literal["inner", "peers", "north"]
TIDY = 30.0  # s between rounds of forgetting
SIGNALS = (AVAILABLE,)  # events that only wake up the next layer: heard, not kept


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
    """Sockets, log, clocks, counters of one service. Made inside the running loop.

    `clock` is the date, for what people read; `lasting` and `monotonic` are for whatever lasts (see clock.py).
    """

    def __init__(self, settings: NodeSettings, layer: str, replica: int, log: logging.Logger) -> None:
        self.settings, self.layer, self.replica, self.log = settings, layer, replica, log
        self.clock: Callable[[], float] = clock.Date(settings.run / clock.OFFSET)
        self.monotonic: Callable[[], float] = time.monotonic
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

        def public() -> str:
            return settings.model_dump_json(exclude={"directory", "run"})

        self.vitals = Vitals(settings.name, layer, replica, f"qkdbus {__version__}", self.clock(), public)
        self.counters: Counter[str] = self.vitals.counters
        self.gauges, self.totals = self.vitals.gauges, self.vitals.totals
        self._servers: list[Server] = []
        self._askers: list[Asker] = []
        self._listeners: list[Listener] = []
        self._doorway = Doorway(settings, self.context, time.time, self.monotonic, log, self.counters)
        self._publisher: Publisher | None = None
        self._witness = Telling(log, self.publish, self.counters, self.monotonic)
        self._tidying: asyncio.TimerHandle | None = None
        self._lasting: Callable[[], float] | None = None
        self._measure()
        _make_private(settings.run)

    # -- what a layer asks for
    @property
    def lasting(self) -> Callable[[], float]:
        """A clock for what is kept and must last: Unix time once, and what has passed since. `clock` may jump."""
        if self._lasting is None:
            self._lasting = clock.lasting(self.settings.directory / "state", self.boot_id, self.clock)
        return self._lasting

    @property
    def shut_out(self) -> Mapping[str, str]:
        """Neighbours that the operator has shut out, each with the reason; changes while the service runs."""
        return self._doorway.keys.shut_out

    def publish(self, event: str, **fields: object) -> None:
        """Publish an event on `<layer>.events` (`qbackend.<n>.events` for a replicated layer); never waits.

        It says which trace it belongs to, and is kept in `logs/<program>.events.log`.
        """
        if self._publisher is None:
            replicated = self.layer == "qbackend"
            socket = f"{self.layer}.{self.replica}.events" if replicated else f"{self.layer}.events"
            program = f"{self.layer}_{self.replica}" if replicated else self.layer
            self._eventlog = EventLog(
                self.settings.directory / "logs" / f"{program}{SUFFIX}.log", SIGNALS, self._event_lost
            )
            who = self.settings.name, self.layer, self.replica, self.clock
            self._publisher = Publisher(self.context, self.settings.ipc(socket), *who, self._eventlog.keep)
        if name := trace.name(trace.CURRENT.get()):
            fields.setdefault("trace", name)
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
        socket = router(self.context)
        if door != "inner":
            narrow(socket, LARGEST_FROM_APPLICATIONS if door == "north" else LARGEST_FROM_NEIGHBOURS)
        still = self._doorway.secure(socket, door) if door != "inner" else None
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
            witness=self._witness,
            limits=self.settings.security.limits if door == "north" else None,
        )
        self._servers.append(server)
        if door != "inner":
            self._doorway.bound(socket, door, endpoint, server.rebind)
        if self._tidying is None:
            self._tidy()

    def asker(self, endpoint: str, contract: Contract, *, server_key: str = "") -> Asker:
        """Return a caller of `endpoint`; with `server_key` over CURVE, as this node.

        When that is a neighbour's key, the caller goes on with the neighbour's next key when it gets one.
        """

        def secure(pair: KeyPair | None, key: str) -> Asker:
            return Asker(self.context, endpoint, contract, os.urandom(16), pair=pair, server_key=key)

        asker = self._doorway.dial(secure, server_key) if server_key else secure(None, "")
        self._askers.append(asker)
        return asker

    def bind(self, socket: zmq.Socket[bytes], endpoint: str, door: str, neighbours: Collection[str]) -> None:
        """Bind a socket of the layer's own, over CURVE, through whose `door` only those neighbours come in."""
        self._doorway.secure(socket, door, neighbours)
        socket.bind(endpoint)
        self._doorway.bound(socket, door, endpoint)

    def connect(self, socket: zmq.Socket[bytes], endpoint: str, server_key: str) -> None:
        """Connect a socket of the layer's own, over CURVE, as this node."""
        self._doorway.connect(socket, endpoint, server_key)

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
            self._eventlog.close()
        self._doorway.close()
        self.context.destroy(linger=0)  # whatever a build that failed has left open, too

    def _measure(self) -> None:
        """What every service can say of itself."""
        self.vitals.latencies = self._witness.latencies
        self.totals["events"] = lambda: self._publisher.published if self._publisher is not None else 0
        self.gauges["calls_running"] = lambda: float(sum(server.busy for server in self._servers))
        self.gauges["answers_remembered"] = lambda: float(sum(server.remembered for server in self._servers))
        self.gauges["calls_waiting"] = lambda: float(sum(asker.waiting for asker in self._askers))

    def _event_lost(self) -> None:
        self.counters["events_not_kept"] += 1

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
