"""Who may come in, and what becomes of garbage: nothing."""

from __future__ import annotations

import json
import os
import random
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import zmq

from qkdbus.bus.caller import Caller
from qkdbus.bus.curve import KeyPair, secure_client
from qkdbus.bus.frames import PROTOCOL
from qkdbus.contracts import dispatcher, emulator, keymanager, keysync, qbackend
from qkdbus.contracts.contract import Contract
from qkdbus.errors import Silent, Unauthorised
from qkdbus.network.addresses import numbers
from qkdbus.runtime.settings import NodeSettings
from qkdbus.wire.head_pb2 import Describe, Description, Head, Ping
from qkdbus_client import Client, QoS, Status
from qkdbus_deploy import credentials

if TYPE_CHECKING:
    from .conftest import Net

INNER = {
    "keymanager": keymanager.CONTRACT,
    "keysync": keysync.CONTRACT,
    "dispatcher": dispatcher.CONTRACT,
    "qbackend.0": qbackend.CONTRACT,
    "emulator": emulator.CONTRACT,
}


def tcp_doors(node: NodeSettings) -> dict[str, tuple[int, Contract]]:
    """Every TCP port of a node, and what is spoken there."""
    ports = node.ports
    return {
        "north": (ports.north, keymanager.CONTRACT),
        "keymanager": (ports.keymanager, keymanager.PEER),
        "keysync": (ports.keysync, keysync.PEER),
        "qbackend": (ports.qbackend[0], qbackend.PEER),
    }


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def credential(sites: Net) -> Iterator[Callable[[str, str], Path]]:
    """Issue credentials; take back what is left of them."""
    issued: list[tuple[str, str]] = []

    def issue(node: str, app: str) -> Path:
        issued.append((node, app))
        return credentials.add(sites.home / sites.name, node, app)

    yield issue
    for node, app in set(issued):
        if app in credentials.known(sites.home / sites.name, node):
            credentials.revoke(sites.home / sites.name, node, app)


# -- applications


def test_an_application_reads_only_streams_that_name_it(sites: Net, credential: Callable[[str, str], Path]) -> None:
    bob = sites.client("Bob")
    with (
        Client("Alice", file=credential("Alice", "app1")) as app1,
        Client("Alice", file=credential("Alice", "app2")) as app2,
    ):
        opened = app1.open_connect("app1@Alice", "other@Bob", QoS(timeout=3000))
        assert opened.ksid is not None
        assert bob.open_connect("app1@Alice", "other@Bob", ksid=opened.ksid).status == Status.SUCCESSFUL
        assert app1.get_key(opened.ksid).key == bob.get_key(opened.ksid).key != b""
        for trespass in (
            lambda: app2.get_key(opened.ksid),
            lambda: app2.get_keys(opened.ksid, 2),
            lambda: app2.close(opened.ksid),
            lambda: app2.open_connect("app1@Alice", "other@Bob"),
            lambda: app1.open_connect("app2@Alice", "other@Bob"),
            lambda: app2.open_connect("other@Bob", "app1@Alice", ksid=opened.ksid),
        ):
            with pytest.raises(Unauthorised):
                trespass()
        assert [info.ksid for info in app1.list_streams()] == [opened.ksid]
        assert app2.list_streams() == []
        assert app1.get_key(opened.ksid).key == bob.get_key(opened.ksid).key != b"", "the trespass has cost a key"
        assert app1.close(opened.ksid).status == bob.close(opened.ksid).status == Status.SUCCESSFUL


def test_a_credential_is_for_one_node(sites: Net, credential: Callable[[str, str], Path], tmp_path: Path) -> None:
    said = json.loads(credential("Alice", "app3").read_text())
    door = said["nodes"]["Alice"]
    bob = json.loads((sites.home / sites.name / "client.json").read_text())["nodes"]["Bob"]
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps({"nodes": {"Bob": {**door, **{k: bob[k] for k in ("endpoint", "server_key")}}}}))
    with Client("Bob", file=elsewhere, patience=1.0) as client, pytest.raises(Silent):
        client.list_streams()


def test_a_revoked_credential_lets_nobody_in(
    sites: Net, credential: Callable[[str, str], Path], tmp_path: Path
) -> None:
    done = sites.command("client", "add", "Alice", "app4", "--json")
    file = Path(json.loads(done.stdout)["credential"])
    copy = tmp_path / "copy.json"
    copy.write_text(file.read_text())
    with Client("Alice", file=copy) as before:
        assert before.list_streams() == []
        assert sites.command("client", "revoke", "Alice", "app4").returncode == 0
        assert not file.exists(), "the credential should be wiped"
        with Client("Alice", file=copy, patience=1.5) as after, pytest.raises(Silent):
            after.list_streams()
        with pytest.raises(Unauthorised, match="revoked"):  # nor does it keep a connection that was there already
            before.open_connect("app4@Alice", "other@Bob", QoS(timeout=500))
        with Client("Alice", file=credential("Alice", "app4")) as renewed:
            assert renewed.list_streams() == []
            with pytest.raises(Unauthorised):
                before.list_streams()


# -- strangers


def test_a_stranger_is_heard_at_no_tcp_door(sites: Net, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    stranger = KeyPair.new()
    asked = []
    for node in sites.nodes():
        key = KeyPair.read(node.certs / "node.json").public
        for name, (port, _) in tcp_doors(node).items():
            plain = _ping(context, port)
            curve = _ping(context, port, stranger, key)
            asked.append((f"{node.name} {name}", plain, curve))
    zmq.select([], [], [], 1.0)
    assert [who for who, plain, curve in asked if plain.poll(0) or curve.poll(0)] == []
    assert len(asked) == 12


def test_each_door_lets_in_its_own_and_no_others(sites: Net, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    alice, bob, charlie = (KeyPair.read(sites.settings(n).certs / "node.json") for n in ("Alice", "Bob", "Charlie"))
    said = json.loads((sites.home / sites.name / "client.json").read_text())["nodes"]["Alice"]
    user = KeyPair(said["public_key"], said["secret_key"])
    doors = tcp_doors(sites.settings("Alice"))
    wanted = {("north", "user"), *((peer, "Bob") for peer in ("keymanager", "keysync", "qbackend"))}
    who = {"user": user, "Bob": bob, "Charlie": charlie, "Alice": alice}
    asked = {(d, w): _ping(context, doors[d][0], pair, alice.public) for d in doors for w, pair in who.items()}
    heard = {case for case, answers in asked.items() if answers.poll(1000 if case in wanted else 50)}
    assert heard == wanted


def _ping(
    context: zmq.Context[zmq.Socket[bytes]], port: int, pair: KeyPair | None = None, server_key: str = ""
) -> zmq.Socket[bytes]:
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.LINGER, 0)
    if pair is not None:
        secure_client(client, pair, server_key)
    client.connect(f"tcp://127.0.0.1:{port}")
    head = Head(method="ping", caller=os.urandom(16), call=1, settled=1, patience_ms=1000)
    client.send_multipart([b"", PROTOCOL, head.SerializeToString(), Ping().SerializeToString()])
    return client


def test_every_listening_socket_is_one_of_the_plan_on_this_machine_only(sites: Net) -> None:
    planned = {port for node in sites.nodes() for port in numbers(node.ports)}
    layer_of = {pid: who for who, pid in sites.pids().items()}
    found = set()
    for pid in sites.box.processes():
        for one in psutil.Process(pid).net_connections(kind="inet"):
            if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM:
                assert one.type == socket.SOCK_STREAM
                assert one.laddr.ip == "127.0.0.1"
                assert layer_of[pid][1] not in ("emulator", "supervisord"), "SimulaQron is to be reached by nobody"
                found.add(one.laddr.port)
    assert found == planned


# -- garbage


def test_garbage_at_every_socket_does_no_harm(
    sites: Net, context: zmq.Context[zmq.Socket[bytes]], wait_until: Callable[..., float]
) -> None:
    ends = sites.open("Alice", "Bob", QoS(timeout=3000))
    ends.agree(1)
    before = sites.pids()
    refused = _refusals(sites, context)
    dice = random.Random(7)
    for node in sites.nodes():
        _raw_octets(node, dice)
        _frames(sites, node, context, dice)
    wait_until(lambda: sites.status().state == "ready", 20)
    assert sites.pids() == before, "a service has died of it"
    assert sum(_refusals(sites, context).values()) > sum(refused.values()) + 1000, "nothing of it was heard"
    assert [key.index for key in ends.agree(3)] == [1, 2, 3]
    sites.open("Bob", "Charlie", QoS(timeout=3000)).agree(1)


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
    doors: list[tuple[int, str | tuple[str, int]]] = [(socket.AF_INET, (node.host, p)) for p in numbers(node.ports)]
    doors += [(socket.AF_UNIX, str(file)) for file in node.run.iterdir() if file.is_socket()]
    if node.name != "Charlie":
        assert {"simulaqron.sock", "supervisor.sock"} <= {file.name for file in node.run.iterdir()}
    for family, address in doors:
        for lie in lies:
            with socket.socket(family, socket.SOCK_STREAM) as raw:
                raw.settimeout(1)
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
            told = caller.ask("describe", Describe(), patience=10.0)
            assert isinstance(told, Description)
            counts[f"{node.name} {name}"] = told.counters["refused"]
            caller.close()
    return counts


def test_a_message_beyond_all_measure_ends_its_connection_and_nothing_else(sites: Net) -> None:
    alice = sites.client("Alice", patience=1.0)
    with pytest.raises((Silent, ValueError)):
        alice.open_connect("a" * (1 << 20) + "@Alice", "b@Bob", QoS(timeout=100))
    assert sites.client("Alice").get_key(uuid.uuid4()).status == Status.STREAM_NOT_FOUND
