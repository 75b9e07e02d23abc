"""Who may come in: applications with their credentials, neighbours at their doors, and nobody else."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import zmq

from qkdbus.bus.curve import KeyPair, secure_client
from qkdbus.bus.frames import PROTOCOL
from qkdbus.errors import Silent, Unauthorised
from qkdbus.network.addresses import numbers
from qkdbus.wire.head_pb2 import Head, Ping
from qkdbus_client import Client, Key, QoS, Status
from qkdbus_deploy import credentials

from .doors import tcp_doors

if TYPE_CHECKING:
    from .conftest import Net


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


def test_an_application_reads_only_streams_that_name_it(
    sites: Net, credential: Callable[[str, str], Path], key_of: Callable[..., Key]
) -> None:
    bob = sites.client("Bob")
    with (
        Client("Alice", file=credential("Alice", "app1")) as app1,
        Client("Alice", file=credential("Alice", "app2")) as app2,
    ):
        opened = app1.open_connect("app1@Alice", "other@Bob", QoS(key_chunk_size=8, timeout=15_000))
        assert opened.ksid is not None
        assert bob.open_connect("app1@Alice", "other@Bob", ksid=opened.ksid).status == Status.SUCCESSFUL
        assert key_of(app1, opened.ksid).key == key_of(bob, opened.ksid).key != b""
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
        assert key_of(app1, opened.ksid).key == key_of(bob, opened.ksid).key != b"", "the trespass has cost a key"
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
    heard = {case for case, answers in asked.items() if answers.poll(30_000 if case in wanted else 50)}
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
    # all nodes are on one host here: nobody needs the port through which SimulaQron goes from host to host
    planned = {port for node in sites.nodes() for port in numbers(node.ports) if port != node.ports.emulator}
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
