"""Keys of nodes and applications are replaced, and nodes shut out, while applications read keys at both ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq

from qkdbus.bus.frames import PROTOCOL, split
from qkdbus.errors import Silent, Unauthorised
from qkdbus.wire.head_pb2 import UNAUTHORISED, Head, Ping
from qkdbus_client import Client, Status
from qkdbus_deploy import credentials

if TYPE_CHECKING:
    from .conftest import Net, Reader

pytestmark = pytest.mark.slow


@pytest.fixture
def readers(net: Net) -> Iterator[list[Reader]]:
    """Streams over both links, read at both ends; in the end what was read is checked."""
    made = [net.reader("Alice", "Bob"), net.reader("Charlie", "Bob")]
    for reader in made:
        reader.start()
        reader.more(5)
    yield made
    for reader in made:
        reader.stop()
    for reader in made:
        reader.check()
        for client in reader.ends:
            assert client.close(reader.ksid).status == Status.SUCCESSFUL


def no_drift(net: Net) -> None:
    assert json.loads(net.command("plan", str(net.file), "--json"))["change"]["nothing"]
    assert json.loads(net.command("status", net.name, "--json"))["drift"] == []


def test_keys_flow_while_all_nodes_get_new_keys(net: Net, readers: list[Reader]) -> None:
    before, pids = {name: net.pair(name) for name in ("Alice", "Bob", "Charlie")}, net.pids()
    net.command("rotate", "--network", net.name)
    for reader in readers:
        reader.more(60)
    assert all(net.pair(name) != pair for name, pair in before.items())
    assert net.pids() == pids, "nothing was started again"
    assert [reader.errors for reader in readers] == [[], []]
    assert {link.state for link in net.status().links} == {"up"}
    no_drift(net)
    net.command("deploy", str(net.file))
    assert net.pids() == pids
    no_drift(net)


def test_clients_follow_the_new_key_of_the_door_for_applications(net: Net, readers: list[Reader]) -> None:
    pids = net.pids()
    said = net.command("rotate", "Bob", "--north")
    assert "client.json" in said
    for reader in readers:  # their ends at Bob have to find out, and to connect anew
        reader.more(40)
    assert net.pids() == pids
    assert [reader.errors for reader in readers] == [[], []]
    no_drift(net)


def test_a_key_that_was_replaced_lets_nobody_in(net: Net, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    former = net.pair("Bob")
    net.command("rotate", "Bob", "--grace", "0")
    new, alice = net.pair("Bob"), net.pair("Alice").public
    port = net.settings("Alice").ports.keysync
    ends = time.monotonic() + 60
    while True:  # the neighbours look once a second
        asked = net.knock(context, "Alice", port, new, alice)
        if asked.poll(1000):
            break
        assert time.monotonic() < ends
    thief = net.knock(context, "Alice", port, former, alice)
    assert not thief.poll(2500)


def test_a_captured_node_is_shut_out_and_let_in_again(
    net: Net, context: zmq.Context[zmq.Socket[bytes]], wait_until: Callable[..., None]
) -> None:
    """Bob's services still run and have good keys: his neighbours alone keep him out."""
    stays = net.reader("Alice", "Bob")
    stays.start()
    stays.more(5)
    alice, port = net.pair("Alice").public, net.settings("Alice").ports.keymanager
    inside = net.knock(context, "Alice", port, net.pair("Bob"), alice)
    assert inside.poll(30_000)
    inside.recv_multipart()

    net.command("expel", "Bob", "--why", "stolen on Monday")
    here = stays.ends[0]
    wait_until(lambda: here.get_key(stays.ksid).status == Status.NO_QKD_CONNECTION)
    assert "stolen on Monday" in here.get_key(stays.ksid).reason
    refused = here.open_connect("late@Alice", "late@Bob")
    assert refused.status == Status.NO_QKD_CONNECTION
    assert "stolen on Monday" in refused.reason
    links = {(link.node, link.peer): link for link in net.status().links}
    assert links["Alice", "Bob"].state == links["Charlie", "Bob"].state == "down"
    wait_until(lambda: _deaf(inside))
    outside = net.knock(context, "Alice", port, net.pair("Bob"), alice)
    assert not outside.poll(2500), "nor does he come in anew"
    no_drift(net)

    net.command("readmit", "Bob")
    wait_until(lambda: {link.state for link in net.status().links} == {"up"})
    stays.more(20)
    stays.stop()
    stays.check()
    for client in stays.ends:
        client.close(stays.ksid)


def _deaf(socket: zmq.Socket[bytes]) -> bool:
    """Whether a connection that stood gets no more answers: refused at first, then ended."""
    head = Head(method="ping", caller=b"again", call=2, settled=2, patience_ms=1000).SerializeToString()
    try:
        socket.send_multipart([b"", PROTOCOL, head, Ping().SerializeToString()], zmq.NOBLOCK)
    except zmq.Again:
        return True
    if not socket.poll(1500):
        return True
    _, answer, _ = split([b"", *socket.recv_multipart()[1:]])
    return bool(answer.outcome == UNAUTHORISED)


def test_an_application_gets_a_new_key_and_its_streams_stay(net: Net, tmp_path: Path) -> None:
    file = credentials.add(net.folder, "Alice", "app")
    copy = tmp_path / "app.json"  # as it was carried to where the application runs
    copy.write_text(file.read_text())
    with Client("Alice", file=copy) as carried:
        reader = net.reader("Alice", "Bob", carried, "app")
        reader.start()
        reader.more(5)
        net.command("client", "rotate", "Alice", "app", "--grace", "600")
        reader.more(20)  # over the connection that stands, with the former key
        with Client("Alice", file=copy) as anew:
            assert [info.ksid for info in anew.list_streams()] == [reader.ksid], "the former key is good for new ones"
        former = copy.read_text()
        copy.write_text(file.read_text())  # the new one was carried there
        reader.more(20)
        net.command("client", "rotate", "Alice", "app", "--grace", "0")
        net.command("client", "rotate", "Alice", "app", "--grace", "0")
        copy.write_text(file.read_text())
        reader.more(20)
        reader.stop()
        reader.check()
        assert [error for error in reader.errors if "Unauthorised" not in error] == []
    old = tmp_path / "old.json"
    old.write_text(former)
    with Client("Alice", file=old, patience=2.0) as late, pytest.raises(Silent):
        late.list_streams()
    credentials.revoke(net.folder, "Alice", "app")


def test_a_former_key_is_refused_after_its_grace_over_a_connection_that_stands(net: Net, tmp_path: Path) -> None:
    copy = tmp_path / "app.json"
    copy.write_text(credentials.add(net.folder, "Alice", "brief").read_text())
    with Client("Alice", file=copy) as client:
        assert client.list_streams() == []
        net.command("client", "rotate", "Alice", "brief", "--grace", "0.5")
        time.sleep(1.0)
        with pytest.raises(Unauthorised, match="revoked"):
            client.list_streams()
    credentials.revoke(net.folder, "Alice", "brief")
