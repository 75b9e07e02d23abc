"""Doors: CURVE and ZAP let in whom we know, under the name we know them by; events tell of gaps."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zmq

from qkdbus.bus.asker import Asker
from qkdbus.bus.curve import AppsFile, Gatekeeper, KeyPair, secure_server
from qkdbus.bus.events import Listener, Publisher
from qkdbus.bus.server import Server
from qkdbus.bus.sockets import router
from qkdbus.contracts.contract import Contract
from qkdbus.errors import Silent
from qkdbus.wire.head_pb2 import Event

Bench = Any


class Guarded:
    """A CURVE server on a free TCP port with an apps file."""

    def __init__(self, bench: Bench, contract: Contract, folder: Path) -> None:
        self.bench, self.contract = bench, contract
        self.apps = folder / "apps.json"
        self.pair = KeyPair.new()
        self.refused: list[str] = []
        self.gate = Gatekeeper(bench.context, lambda door, address: self.refused.append(door))
        self.gate.guard("north", AppsFile(self.apps))
        socket = router(bench.context)
        secure_server(socket, self.pair, "north")
        self.endpoint = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.server = Server(
            socket,
            contract,
            bench.echo,
            secured=True,
            log=logging.getLogger("test"),
            counters=Counter(),
            clock=time.monotonic,
            fatal=lambda error: None,
        )

    def know(self, **apps: KeyPair) -> None:
        self.apps.write_text(json.dumps({name: pair.public for name, pair in apps.items()}))

    def asker(self, pair: KeyPair) -> Asker:
        context, key = self.bench.context, self.pair.public
        return Asker(context, self.endpoint, self.contract, os.urandom(16), pair=pair, server_key=key)

    def close(self) -> None:
        self.server.close()
        self.gate.close()


@pytest.fixture
async def guarded(bench: Bench, echo_contract: Contract, tmp_path: Path) -> Any:
    made = Guarded(bench, echo_contract, tmp_path)
    yield made
    made.close()


async def test_a_known_application_comes_in_under_its_name(guarded: Guarded) -> None:
    pair = KeyPair.new()
    guarded.know(app1=pair)
    asker = guarded.asker(pair)
    await asker.ask("echo", Event(name="hi"))
    asker.close()
    assert guarded.bench.echo.users == ["app1"]


async def test_a_stranger_and_a_plain_socket_stay_outside(guarded: Guarded, echo_contract: Contract) -> None:
    guarded.know(app1=KeyPair.new())
    stranger = guarded.asker(KeyPair.new())
    plain = Asker(guarded.bench.context, guarded.endpoint, echo_contract, os.urandom(16))
    for asker in (stranger, plain):
        with pytest.raises(Silent):
            await asker.ask("echo", Event(name="let me in"), patience=0.3)
        asker.close()
    assert guarded.refused and guarded.bench.echo.calls["echo"] == 0


async def test_an_application_added_while_the_service_runs_is_let_in(guarded: Guarded) -> None:
    guarded.know(app1=KeyPair.new())
    late = KeyPair.new()
    asker = guarded.asker(late)
    with pytest.raises(Silent):
        await asker.ask("echo", Event(), patience=0.2)
    guarded.know(late=late)
    await asker.ask("echo", Event(), patience=30)
    asker.close()
    assert guarded.bench.echo.users == ["late"]


async def test_a_secret_key_does_not_print_itself() -> None:
    pair = KeyPair.new()
    assert pair.secret not in repr(pair) and pair.secret not in str(pair)


async def test_a_listener_hears_events_and_counts_what_it_missed(bench: Bench, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/events"
    heard: list[Event] = []
    missed: list[int] = []
    publisher = Publisher(bench.context, endpoint, "Alice", "keysync", 0, time.time)
    listener = Listener(bench.context, endpoint, [""], heard.append, missed.append)
    await asyncio.sleep(0.2)
    publisher.publish("one", oid="ab")
    publisher._number += 2
    publisher.publish("two")
    await asyncio.sleep(0.2)
    listener.close()
    publisher.close()
    assert [(e.name, e.number) for e in heard] == [("one", 1), ("two", 4)]
    assert heard[0].fields["oid"] == "ab" and missed == [2]


async def test_a_publisher_without_listeners_never_waits(bench: Bench, tmp_path: Path) -> None:
    publisher = Publisher(bench.context, f"ipc://{tmp_path}/events", "Alice", "keysync", 0, time.time)
    socket = bench.context.socket(zmq.SUB)  # subscribes and never reads
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.setsockopt(zmq.RCVHWM, 1)
    socket.connect(f"ipc://{tmp_path}/events")
    await asyncio.sleep(0.1)
    for _ in range(5000):
        publisher.publish("flood")
    socket.close(0)
    publisher.close()
