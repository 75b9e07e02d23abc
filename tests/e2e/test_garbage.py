"""What becomes of garbage at every door: nothing."""

from __future__ import annotations

import json
import os
import random
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import zmq

from qkdbus.bus.caller import Caller
from qkdbus.bus.curve import KeyPair, secure_client
from qkdbus.bus.frames import PROTOCOL
from qkdbus.contracts import dispatcher, emulator, keymanager, keysync, qbackend
from qkdbus.contracts.contract import Contract
from qkdbus.errors import Silent
from qkdbus.runtime.settings import NodeSettings
from qkdbus.wire.head_pb2 import Describe, Description, Head
from qkdbus_client import QoS, Status

from .doors import tcp_doors

if TYPE_CHECKING:
    from .conftest import Net

INNER = {
    "keymanager": keymanager.CONTRACT,
    "keysync": keysync.CONTRACT,
    "dispatcher": dispatcher.CONTRACT,
    "qbackend.0": qbackend.CONTRACT,
    "emulator": emulator.CONTRACT,
}


@pytest.mark.slow
def test_garbage_at_every_socket_does_no_harm(
    sites: Net, context: zmq.Context[zmq.Socket[bytes]], wait_until: Callable[..., float]
) -> None:
    ends = sites.open("Alice", "Bob", QoS(key_chunk_size=8, timeout=3000))
    ends.agree(1)
    before = sites.pids()
    refused = _refusals(sites, context)
    dice = random.Random(7)
    for node in sites.nodes():
        _raw_octets(node, dice)
        _frames(sites, node, context, dice)
    wait_until(lambda: sites.status().state == "ready", 60)
    assert sites.pids() == before, "a service has died of it"
    assert sum(_refusals(sites, context).values()) > sum(refused.values()) + 1000, "nothing of it was heard"
    assert [key.index for key in ends.agree(3)] == [1, 2, 3]
    sites.open("Bob", "Charlie", QoS(key_chunk_size=8, timeout=3000)).agree(1)


def _raw_octets(node: NodeSettings, dice: random.Random) -> None:
    """Random octets, half greetings, and a closed door, at everything that listens."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(40)
    lies = [
        dice.randbytes(200),
        greeting + dice.randbytes(300),
        b"GET / HTTP/1.0\r\n\r\n",
        b"\xff" * 5000,
        b"\x82" * 70_000,
        b"",
    ]
    doors: list[tuple[int, str | tuple[str, int]]] = [
        (socket.AF_INET, (node.host, port)) for port, _ in tcp_doors(node).values()
    ]
    doors += [(socket.AF_UNIX, str(file)) for file in node.run.iterdir() if file.is_socket()]
    if node.name != "Charlie":
        assert {"simulaqron.sock", "supervisor.sock"} <= {file.name for file in node.run.iterdir()}
    for family, address in doors:
        for lie in lies:
            with socket.socket(family, socket.SOCK_STREAM) as raw:
                raw.settimeout(30)
                raw.connect(address)
                try:
                    raw.sendall(lie)
                except OSError:  # thrown out before all was said
                    continue


def _frames(sites: Net, node: NodeSettings, context: zmq.Context[zmq.Socket[bytes]], dice: random.Random) -> None:
    """Messages that are none, at the inner sockets; and at the TCP doors from those whom they let in."""
    own = KeyPair.read(node.certs / "node.json")
    said = json.loads((sites.home / sites.name / "client.json").read_text())["nodes"][node.name]
    for name, contract in INNER.items():
        _shout(context, node.ipc(name), contract, dice)
    for name, (port, contract) in tcp_doors(node).items():
        friend = KeyPair.read(sites.settings(node.neighbours[0].name).certs / "node.json")
        pair = KeyPair(said["public_key"], said["secret_key"]) if name == "north" else friend
        _shout(context, f"tcp://{node.host}:{port}", contract, dice, pair, own.public)
        _shout(context, f"tcp://{node.host}:{port}", contract, dice, KeyPair.new(), own.public)
        _shout(context, f"tcp://{node.host}:{port}", contract, dice)


def _shout(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    contract: Contract,
    dice: random.Random,
    pair: KeyPair | None = None,
    server_key: str = "",
) -> None:
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.LINGER, 500)
    client.setsockopt(zmq.SNDHWM, 10_000)
    if pair is not None:
        secure_client(client, pair, server_key)
    client.connect(endpoint)
    for message in _messages(contract, dice):
        with suppress(zmq.Again):  # thrown out for good: ZeroMQ does not even try again
            client.send_multipart(message, zmq.NOBLOCK)
    client.close()


def _messages(contract: Contract, dice: random.Random) -> Iterator[list[bytes]]:
    head = Head(method="ping", caller=dice.randbytes(16), call=1).SerializeToString()
    yield from ([b""], [b"x"], [b"", b""], [b"", PROTOCOL], [b"", PROTOCOL, head], [PROTOCOL, head, b""])
    yield from ([b"", b"qkdbus/9", head, b""], [b"", PROTOCOL, b"\xff" * 40, b""], [b"", PROTOCOL, head, b"", b""])
    yield [dice.randbytes(20) for _ in range(50)]
    yield [b"", PROTOCOL, Head(method="no_such", call=1).SerializeToString(), b""]
    yield [b"", PROTOCOL, Head(method="x" * 100_000, call=1).SerializeToString(), b""]
    yield [b"", PROTOCOL, head, dice.randbytes(200_000)]
    for method in contract.methods:
        for call in (0, 1, 2**64 - 1):
            said = Head(method=method, caller=dice.randbytes(dice.choice((0, 1, 16, 300))), call=call, settled=call)
            for size in (0, 1, 7, 40, 300):
                yield [b"", PROTOCOL, said.SerializeToString(), dice.randbytes(size)]


def _refusals(sites: Net, context: zmq.Context[zmq.Socket[bytes]]) -> dict[str, int]:
    counts = {}
    for node in sites.nodes():
        for name, contract in INNER.items():
            caller = Caller(context, node.ipc(name), contract, os.urandom(16))
            told = caller.ask("describe", Describe(), patience=60.0)
            assert isinstance(told, Description)
            counts[f"{node.name} {name}"] = told.counters["refused"]
            caller.close()
    return counts


def test_a_message_beyond_all_measure_ends_its_connection_and_nothing_else(sites: Net) -> None:
    alice = sites.client("Alice", patience=1.0)
    with pytest.raises((Silent, ValueError)):
        alice.open_connect("a" * (1 << 20) + "@Alice", "b@Bob", QoS(timeout=100))
    assert sites.client("Alice").get_key(uuid.uuid4()).status == Status.STREAM_NOT_FOUND
