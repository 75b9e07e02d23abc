from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import zmq

from qkdbus.bus.asker import Asker
from qkdbus.bus.server import Server
from qkdbus.bus.sockets import router
from qkdbus.contracts.call import Call
from qkdbus.contracts.contract import Contract, Method
from qkdbus.errors import Exhausted
from qkdbus.wire.head_pb2 import Describe, Description, Event, Health, Ping

ECHO = Contract("echo", {"echo": Method(Event, Event), "slow": Method(Event, Event), "note": Method(Event, None)})


class Echo:
    """A small layer: gives back what it is told, slowly on demand, and counts."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.users: list[str] = []
        self.release = asyncio.Event()

    def ping(self, request: Ping, call: Call) -> Health:
        return Health(ready=True)

    def describe(self, request: Describe, call: Call) -> Description:
        return Description()

    def echo(self, request: Event, call: Call) -> Event:
        self.calls["echo"] += 1
        self.users.append(call.user)
        if request.name == "nothing":
            raise Exhausted("nothing there")
        if request.name == "bug":
            raise ValueError(f"a bug with {b'octets'!r}")
        return Event(name=request.name, number=self.calls["echo"])

    async def slow(self, request: Event, call: Call) -> Event:
        self.calls["slow"] += 1
        await self.release.wait()
        return Event(name=request.name, number=self.calls["slow"])

    def note(self, request: Event, call: Call) -> None:
        self.calls["note"] += 1


class Bench:
    """One server and as many callers as a test wants, in one loop."""

    def __init__(self, folder: Path) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.endpoint = f"ipc://{folder}/echo"
        self.echo = Echo()
        self.commits = 0
        self.fatal: list[BaseException] = []
        self.counters: Counter[str] = Counter()
        self.commit: Callable[[], None] = lambda: None
        self._closing: list[Server | Asker] = []
        self.server = self.serve()

    def serve(self) -> Server:
        socket = router(self.context)
        socket.bind(self.endpoint)
        log = logging.getLogger("test")
        server = Server(
            socket,
            ECHO,
            self.echo,
            secured=False,
            log=log,
            counters=self.counters,
            clock=time.monotonic,
            fatal=self.fatal.append,
            commit=self._commit,
        )
        self._closing.append(server)
        return server

    def _commit(self) -> None:
        self.commits += 1
        self.commit()

    def asker(self) -> Asker:
        asker = Asker(self.context, self.endpoint, ECHO, os.urandom(16))
        self._closing.append(asker)
        return asker

    def close(self) -> None:
        for each in self._closing:
            each.close()
        self.context.destroy(linger=0)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def echo_contract() -> Contract:
    return ECHO
