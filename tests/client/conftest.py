"""A small key manager behind a real door (tcp and CURVE), in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from zmq.utils import z85

from qkdbus.bus.curve import Gatekeeper, KeyPair, secure_server
from qkdbus.bus.server import Server
from qkdbus.bus.sockets import router
from qkdbus.contracts.call import Call
from qkdbus.contracts.keymanager import CONTRACT
from qkdbus.errors import Refused, Unauthorised
from qkdbus.wire import keymanager_pb2 as wire
from qkdbus.wire.head_pb2 import Describe, Description, Health, Ping


class SmallKeyManager:
    """One end, keys for the asking; each (caller, call) gets its own key, and the same again."""

    def __init__(self) -> None:
        self.qos: dict[bytes, wire.QoS] = {}
        self.next: Counter[bytes] = Counter()
        self.given: dict[tuple[bytes, int], wire.Key | wire.Keys] = {}
        self.calls: list[Call] = []
        self.opened: list[wire.OpenConnect] = []
        self.listed: list[Call] = []

    def ping(self, request: Ping, call: Call) -> Health:
        return Health(ready=True)

    def describe(self, request: Describe, call: Call) -> Description:
        return Description()

    def open_connect(self, request: wire.OpenConnect, call: Call) -> wire.Opened:
        self.opened.append(request)
        if not request.source:
            raise Refused("source is empty")
        if "secret" in request.source:
            raise Unauthorised("not yours")
        if request.destination.endswith("@Nowhere"):
            return wire.Opened(status=4, reason="no node Nowhere")
        if request.qos.key_chunk_size > 1000:
            return wire.Opened(status=7, qos=wire.QoS(key_chunk_size=1000), reason="too large")
        ksid = request.ksid or uuid.uuid4().bytes
        qos = wire.QoS(key_chunk_size=32, timeout=1000, ttl=60, metadata_mimetype="application/json")
        qos.MergeFrom(request.qos)
        self.qos[ksid] = qos
        return wire.Opened(status=1, ksid=ksid, qos=qos)

    async def get_key(self, request: wire.GetKey, call: Call) -> wire.Key:
        self.calls.append(call)
        await asyncio.sleep(0.01)
        if request.ksid not in self.qos:
            return wire.Key(status=9, reason="no such stream")
        if request.HasField("index") and request.index == 99:
            return wire.Key(status=77)
        if 0 < request.metadata_size < 10:
            return wire.Key(status=8, metadata_size=27)
        return self._give(request, call)

    def _give(self, request: wire.GetKey, call: Call) -> wire.Key:
        again = self.given.get((call.caller, call.number))
        if isinstance(again, wire.Key):
            return again
        index = request.index if request.HasField("index") else self.next[request.ksid]
        self.next[request.ksid] = index + 1
        key = wire.Key(index=index, key=os.urandom(self.qos[request.ksid].key_chunk_size))
        if request.metadata_size:
            key.metadata = json.dumps({"age": 3, "hops": 0}).encode()
        self.given[call.caller, call.number] = key
        return key

    def get_keys(self, request: wire.GetKeys, call: Call) -> wire.Keys:
        size = self.qos[request.ksid].key_chunk_size
        return wire.Keys(index=5, count=request.count, keys=bytes(range(256)) * (request.count * size // 256))

    def close(self, request: wire.Close, call: Call) -> wire.Closed:
        return wire.Closed(status=0 if self.qos.pop(request.ksid, None) else 9)

    def list_streams(self, request: wire.ListStreams, call: Call) -> wire.Streams:
        self.listed.append(call)
        info = [wire.StreamInfo(ksid=ksid, qos=qos, state="ready", peer="Bob") for ksid, qos in self.qos.items()]
        return wire.Streams(streams=info)


class Door:
    """The door to a `SmallKeyManager`, kept by a thread."""

    def __init__(self) -> None:
        self.manager = SmallKeyManager()
        self.server_pair, self.app_pair = KeyPair.new(), KeyPair.new()
        self.endpoint = ""
        self._ready = threading.Event()
        self._over: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    async def _live(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        gatekeeper = Gatekeeper(context, lambda door, address: None)
        gatekeeper.guard("north", lambda: {z85.decode(self.app_pair.public.encode()): "app1"})
        socket = router(context)
        secure_server(socket, self.server_pair, "north")
        socket.bind("tcp://127.0.0.1:*")
        self.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        server = Server(
            socket,
            CONTRACT,
            self.manager,
            secured=True,
            log=logging.getLogger("test"),
            counters=Counter(),
            clock=time.monotonic,
            fatal=lambda error: None,
        )
        self._ready.set()
        await self._over.wait()
        server.close()
        gatekeeper.close()
        context.term()

    def last_words(self) -> Call:
        """What was asked last for the list of streams, as soon as somebody has."""
        ends = time.monotonic() + 10
        while not self.manager.listed:
            assert time.monotonic() < ends
            time.sleep(0.01)
        return self.manager.listed[-1]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)

    @property
    def keys(self) -> dict[str, Any]:
        return {
            "server_key": self.server_pair.public,
            "public_key": self.app_pair.public,
            "secret_key": self.app_pair.secret,
        }


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


@pytest.fixture
def home(door: Door, tmp_path: Path) -> Path:
    """A home with one network, as `deploy` leaves it."""
    entry: dict[str, Any] = {"endpoint": door.endpoint, "app": "*", **door.keys}
    folder = tmp_path / "three-sites"
    folder.mkdir()
    (folder / "client.json").write_text(json.dumps({"network": "three-sites", "nodes": {"Alice": entry}}))
    return tmp_path
