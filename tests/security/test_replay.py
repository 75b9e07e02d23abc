"""What was said once is worth nothing when it is said again: octets of a connection, calls, messages of a neighbour."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import zmq

from qkdbus.bus.asker import Asker
from qkdbus.bus.curve import KeyPair, secure_client
from qkdbus.bus.frames import PROTOCOL, split
from qkdbus.contracts import keymanager
from qkdbus.wire.head_pb2 import OK, Head
from qkdbus.wire.keymanager_pb2 import Announce, Announced, GetKey, Key, ListStreams, QoS
from qkdbus.wire.keysync_pb2 import Beat, Commit, Epoch, Reconcile
from qkdbus_client import Client, Status
from qkdbus_client import Key as GotKey
from qkdbus_client.access import find

if TYPE_CHECKING:
    from .conftest import Net

pytestmark = pytest.mark.slow


class Tap:
    """A wire that is listened to: every connection goes on to `port`, and what the client says is written down."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.said: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            record = bytearray()
            self.said.append(record)
            threading.Thread(target=_carry, args=(client, server, record), daemon=True).start()
            threading.Thread(target=_carry, args=(server, client, bytearray()), daemon=True).start()

    def close(self) -> None:
        self._door.close()


def _carry(source: socket.socket, sink: socket.socket, record: bytearray) -> None:
    try:
        while octets := source.recv(1 << 16):
            record += octets
            sink.sendall(octets)
    except OSError:
        pass
    for end in (source, sink):
        end.close()


@pytest.fixture
def stream(net: Net, key_of: Callable[..., GotKey]) -> tuple[Client, Client, UUID]:
    reader = net.reader("Alice", "Bob")
    here, there = reader.ends
    assert key_of(here, reader.ksid).key == key_of(there, reader.ksid).key
    return here, there, reader.ksid


async def test_recorded_octets_of_a_connection_are_worth_nothing(
    net: Net, stream: tuple[Client, Client, UUID], context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    """CURVE has fresh keys for each connection: a whole one that is played again ends in the handshake."""
    here, _, ksid = stream
    way, port = find("Alice", net.name, net.home), net.settings("Alice").ports.north
    tap = Tap(port)
    pair = KeyPair(way.public_key, way.secret_key)
    asker = Asker(
        *(context, f"tcp://127.0.0.1:{tap.port}", keymanager.CONTRACT, os.urandom(16)),
        pair=pair,
        server_key=way.server_key,
    )
    got = await asker.ask("get_key", GetKey(ksid=ksid.bytes))
    assert isinstance(got, Key)
    assert got.status == Status.SUCCESSFUL
    asker.close()
    tap.close()
    delivered = _delivered(here, ksid)
    record = bytes(tap.said[0])
    assert len(record) > 500, "the handshake and a call"
    assert got.key not in record
    for whole in (True, False):
        with socket.create_connection(("127.0.0.1", port)) as thief:
            thief.settimeout(5.0)
            heard = await asyncio.to_thread(_play, thief, record, whole)
        # greeting (64 octets), WELCOME (168 with its head), perhaps an ERROR: nothing that a call is answered by
        assert len(heard) < 400
    assert _delivered(here, ksid) == delivered
    assert here.get_key(ksid).index == got.index + 1, "no key was spent on it"


def _play(thief: socket.socket, record: bytes, whole: bool) -> bytes:
    """Say it all again, at once or in the steps of a handshake; return what was heard until the end."""
    steps = [record] if whole else [record[:64], record[64:266], record[266:]]
    heard = bytearray()
    try:
        for step in steps:
            thief.sendall(step)
            threading.Event().wait(0.2)
        while octets := thief.recv(1 << 16):
            heard += octets
    except OSError:
        pass
    return bytes(heard)


def test_a_call_that_is_repeated_gets_the_same_key_and_no_other(
    net: Net, stream: tuple[Client, Client, UUID], context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    """By its own caller. To another credential the number means nothing."""
    here, _, ksid = stream
    way = find("Alice", net.name, net.home)
    head = Head(method="get_key", caller=os.urandom(16), call=7, settled=7, patience_ms=5000).SerializeToString()
    frames = [b"", PROTOCOL, head, GetKey(ksid=ksid.bytes).SerializeToString()]
    asked = context.socket(zmq.DEALER)
    asked.setsockopt(zmq.LINGER, 0)
    secure_client(asked, KeyPair(way.public_key, way.secret_key), way.server_key)
    asked.connect(way.endpoint)
    answers = []
    for _ in range(3):
        asked.send_multipart(frames)
        assert asked.poll(30_000)
        answers.append(Key.FromString(asked.recv_multipart()[-1]))
    assert answers[0].status == Status.SUCCESSFUL
    assert {(one.index, one.key) for one in answers} == {(answers[0].index, answers[0].key)}
    assert here.get_key(ksid).index == answers[0].index + 1


def test_a_real_neighbour_who_says_an_old_announcement_again_opens_nothing(
    net: Net,
    stream: tuple[Client, Client, UUID],
    context: zmq.Context[zmq.Socket[bytes]],
    wait_until: Callable[..., None],
) -> None:
    here, there, ksid = stream
    info = next(one for one in here.list_streams() if one.ksid == ksid)
    for client in (here, there):
        client.close(ksid)
    wait_until(lambda: ksid not in [one.ksid for one in here.list_streams()])
    announce = Announce(ksid=ksid.bytes, source=info.source, destination=info.destination, oid=b"o" * 16)
    announce.qos.CopyFrom(QoS(key_chunk_size=8, ttl=60, timeout=1000))
    before = [one.ksid for one in here.list_streams()]
    head = Head(method="announce", caller=b"b" * 16, call=1, settled=1, patience_ms=2000).SerializeToString()
    asked = context.socket(zmq.DEALER)
    asked.setsockopt(zmq.LINGER, 0)
    secure_client(asked, net.pair("Bob"), net.pair("Alice").public)
    asked.connect(f"tcp://127.0.0.1:{net.settings('Alice').ports.keymanager}")
    for _ in range(3):  # octet for octet the same
        asked.send_multipart([b"", PROTOCOL, head, announce.SerializeToString()])
        assert asked.poll(30_000)
        _, said, body = split(asked.recv_multipart())
        if said.outcome == OK:
            assert Announced.FromString(body).oid == b"", "no stream of an application here answers to it"
    assert [one.ksid for one in here.list_streams()] == before
    assert here.get_key(ksid).status != Status.SUCCESSFUL


def test_a_real_neighbour_who_says_old_messages_of_the_agreement_again_changes_nothing(
    net: Net,
    stream: tuple[Client, Client, UUID],
    context: zmq.Context[zmq.Socket[bytes]],
    key_of: Callable[..., GotKey],
) -> None:
    """Of an epoch that is over, or of a ledger's entry that was applied: keys go on being the same at both ends."""
    here, there, ksid = stream
    asked = context.socket(zmq.DEALER)
    asked.setsockopt(zmq.LINGER, 0)
    secure_client(asked, net.pair("Alice"), net.pair("Bob").public)
    asked.connect(f"tcp://127.0.0.1:{net.settings('Bob').ports.keysync}")
    link = {(one.node, one.peer): one for one in net.status().links}["Bob", "Alice"]
    assert link.state == "up"
    old = [
        Reconcile(epoch=Epoch(n=0, r=0), fid=1, beat=Beat(acked=0)),
        Reconcile(epoch=Epoch(n=1, r=12345), fid=99, commit=Commit(seq=1, entry=b"", chain=b"x" * 32)),
        Reconcile(epoch=Epoch(n=1, r=12345), fid=99, commit=Commit(seq=2, entry=b"\x0a\x00", chain=b"x" * 32)),
    ]
    head = Head(method="reconcile").SerializeToString()
    for _ in range(50):
        for message in old:
            asked.send_multipart([b"", PROTOCOL, head, message.SerializeToString()])
    for _ in range(20):
        mine, other = key_of(here, ksid), key_of(there, ksid)
        assert (mine.index, mine.key) == (other.index, other.key)
    assert {one.state for one in net.status().links} == {"up"}


def test_a_stranger_who_lists_streams_hears_nothing(net: Net, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    way = find("Alice", net.name, net.home)
    for pair, server_key in ((KeyPair.new(), way.server_key), (None, "")):
        stranger = context.socket(zmq.DEALER)
        stranger.setsockopt(zmq.LINGER, 0)
        if pair is not None:
            secure_client(stranger, pair, server_key)
        stranger.connect(way.endpoint)
        head = Head(method="list_streams", caller=b"s" * 16, call=1, settled=1).SerializeToString()
        stranger.send_multipart([b"", PROTOCOL, head, ListStreams().SerializeToString()])
        assert not stranger.poll(1500)


def _delivered(client: Client, ksid: UUID) -> int:
    return next(info.delivered for info in client.list_streams() if info.ksid == ksid)
