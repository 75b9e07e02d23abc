"""The sockets of a tunnel: who is let in, what becomes of garbage, of gaps, of slow readers, of cut cables."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio
from twisted.spread import pb

from qkdbus.bus.curve import KeyPair, secure_client
from qkdbus.network.model import LinkSettings
from qkdbus.runtime import Room
from qkdbus.runtime.settings import Neighbour, NodeSettings, Ports
from qkdbus_qbackend.emulators.simulaqron.broker import BrokerNeighbours
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.stream import (
    CLOSE,
    DATA,
    HEAD,
    LARGEST,
    LONGEST_FRAME,
    MOST_WAITING,
    OPEN,
    TICK,
    WINDOW,
    Stream,
)
from qkdbus_qbackend.emulators.simulaqron.transport import Transport
from qkdbus_qbackend.emulators.simulaqron.tunnel import MOST_CONNECTIONS, Tunnel

SIMULAQRON, IDEAL = LinkSettings(), LinkSettings(emulator="ideal", protocol="e91-same-bases")
# Bob is the follower of all; Charlie's link is not SimulaQron's, and Mallory has none
LINKS = {"Alice": SIMULAQRON, "Aaron": SIMULAQRON, "Charlie": IDEAL}
LOG = logging.getLogger("test")
Socket = Any  # of zmq.asyncio, whose types are incomplete


class Echo(pb.Root):  # type: ignore[misc]
    """A broker's root that says what it is told, and whose brokers can be looked at."""

    def remote_echo(self, said: bytes) -> bytes:
        return said


class Site:
    """Bob with his door, and whoever wants to come in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {name: KeyPair.new() for name in ("Bob", "Mallory", *LINKS)}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.context: Any = zmq.asyncio.Context()
        self.rooms: dict[str, Room] = {}
        self.tunnels: dict[str, Tunnel] = {}
        self.bob = self.tunnel("Bob")

    def tunnel(self, name: str, port: int = 0) -> Tunnel:
        """The tunnel of a node, over a room of its own; `port` stands for Bob's."""
        directory = self.folder / name
        (directory / "certs").mkdir(parents=True)
        pair = {"public_key": self.keys[name].public, "secret_key": self.keys[name].secret}
        (directory / "certs" / "node.json").write_text(json.dumps(pair))
        ports = Ports(north=1, keymanager=1, keysync=1, qbackend=(1,), emulator=port or self.port)
        ends = list(LINKS.items()) if name == "Bob" else [("Bob", LINKS.get(name, SIMULAQRON))]
        neighbours = tuple(
            Neighbour(
                name=peer,
                host="127.0.0.1",
                ports=ports,
                public_key=self.keys[peer].public,
                arbiter=name != "Bob",
                link=link,
            )
            for peer, link in ends
        )
        settings = NodeSettings(
            network="test",
            name=name,
            host="127.0.0.1",
            directory=directory,
            run=directory / "run",
            ports=ports,
            nodes=("Bob", *LINKS),
            neighbours=neighbours,
        )
        room = self.rooms[name] = Room(settings, "emulator", 0, LOG)
        self.tunnels[name] = Tunnel(room, [n for n in neighbours if n.link.emulator == "simulaqron"])
        return self.tunnels[name]

    def connections(self, peer: str) -> list[Transport]:
        """Every living connection with that neighbour, of all nodes."""
        return [one for tunnel in self.tunnels.values() for one in tunnel.open() if one.peer == peer]

    def raw(self, name: str) -> Socket:
        """A bare socket with the key of a node, connected to Bob's door."""
        dealer = self.context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.IMMEDIATE, 1)
        secure_client(dealer, self.keys[name], self.keys["Bob"].public)
        dealer.connect(f"tcp://127.0.0.1:{self.port}")
        return dealer

    def count(self, what: str, name: str = "Bob") -> int:
        return self.rooms[name].counters[what]

    async def leave(self) -> None:
        for tunnel in self.tunnels.values():
            tunnel.close()
        await asyncio.sleep(0)  # brokers hear of it
        self.close()

    def close(self) -> None:
        for room in self.rooms.values():
            room.close()
        self.context.destroy(linger=0)


@pytest.fixture
async def site(folder: Path) -> AsyncIterator[Site]:
    site = Site(folder)
    site.bob.listen(Echo())
    yield site
    await site.leave()


class Failed(Exception):
    """What a broker says of a call that failed."""


async def future(deferred: Any) -> Any:
    said: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    # not asFuture: what a RemoteError carries is no exception
    deferred.addCallbacks(said.set_result, lambda failure: said.set_exception(Failed(failure.getErrorMessage())))
    return await asyncio.wait_for(said, 10)


async def until(true: Callable[[], object], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)


async def kind_of_answer(dealer: Socket) -> int:
    """The kind of the next frame from the door that is no tick nor data."""
    async with asyncio.timeout(10):
        while True:
            kind = int(HEAD.unpack_from(await dealer.recv())[0])
            if kind not in (TICK, DATA):
                return kind


async def test_calls_of_any_size_go_there_and_back(site: Site) -> None:
    factory = pb.PBClientFactory()
    site.tunnel("Alice").connect("Bob", factory)
    root = await future(factory.getRootObject())
    for size in (0, 1, LARGEST, 3 * LARGEST + 1, 600_000):
        said = os.urandom(size)
        assert await future(root.callRemote("echo", said)) == said
    many = [os.urandom(400_000) for _ in range(3 * WINDOW * LARGEST // 400_000)]  # more than the window, at once
    assert await asyncio.gather(*(future(root.callRemote("echo", said)) for said in many)) == many
    assert site.count("tunnels_opened") == 1


async def test_a_neighbour_may_dial_before_there_is_a_door(folder: Path) -> None:
    site = Site(folder)
    factory = pb.PBClientFactory()
    site.tunnel("Alice").connect("Bob", factory)
    await asyncio.sleep(0.3)
    site.bob.listen(Echo())
    root = await future(factory.getRootObject())
    assert await future(root.callRemote("echo", b"at last")) == b"at last"
    site.close()


@pytest.mark.parametrize("end", ["Alice", "Bob"])
async def test_who_closes_an_end_closes_the_other(site: Site, end: str) -> None:
    factory = pb.PBClientFactory()
    alice = site.tunnel("Alice")
    alice.connect("Bob", factory)
    root = await future(factory.getRootObject())
    assert await future(root.callRemote("echo", b"")) == b""
    asked = root.callRemote("echo", b"lost")
    there = site.connections("Alice")  # at Bob's
    assert len(there) == 1
    if end == "Alice":
        factory.disconnect()
    else:
        there[0].loseConnection()
    await until(lambda: root.broker.disconnected and not site.connections("Alice") and not site.connections("Bob"))
    with pytest.raises(Failed, match="closed"):
        await future(asked)
    with pytest.raises(pb.DeadReferenceError):
        root.callRemote("echo", b"dead")


# -- who comes in


@pytest.mark.parametrize("name", ["Mallory", "Charlie"])
async def test_strangers_and_neighbours_of_other_links_get_nothing(site: Site, name: str) -> None:
    with site.raw(name) as dealer:
        with pytest.raises(zmq.Again):
            await dealer.send(Stream(os.urandom(16)).opening(), zmq.NOBLOCK)
        await until(lambda: site.count("refused_at_door") > 0)
        assert await dealer.poll(200, zmq.POLLOUT) == 0
    assert site.count("tunnels_opened") == 0


async def test_without_curve_nobody_is_heard(site: Site) -> None:
    with site.context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(f"tcp://127.0.0.1:{site.port}")
        await dealer.send(Stream(os.urandom(16)).opening())
        assert await dealer.poll(500) == 0
    assert site.count("tunnels_opened") == 0


async def test_a_neighbour_meets_the_node_under_its_own_name_only(folder: Path) -> None:
    class NoReactor:
        def listenUNIX(self, *_: object, **__: object) -> None:  # noqa: N802 (Twisted's)
            """Nobody of this host is expected."""

    site = Site(folder)
    bob = BrokerNeighbours("Bob", {}, frozenset(), far=site.bob, patience=3.0, log=LOG)
    resident: Any = None  # nothing is asked of it here
    bob.start(NoReactor(), QkdVirtualNode("Bob", 10, bob.meet), resident, folder / "unused.sock")
    factory = pb.PBClientFactory()
    site.tunnel("Aaron").connect("Bob", factory)
    root = await future(factory.getRootObject())
    for name in ("Alice", "Charlie", "Bob", ""):
        with pytest.raises(Failed, match="not expected"):
            await future(root.callRemote("meet", name, pb.Referenceable()))
    with pytest.raises(Failed, match="not for peers"):
        await future(root.callRemote("stop_vnode"))
    assert bob.up() == []
    await future(root.callRemote("meet", "Aaron", pb.Referenceable()))
    assert bob.up() == ["Aaron"]
    site.close()


async def test_a_neighbour_has_only_so_many_connections(site: Site) -> None:
    dealers = [site.raw("Alice") for _ in range(MOST_CONNECTIONS + 2)]
    for dealer in dealers:
        await dealer.poll(5000, zmq.POLLOUT)
        await dealer.send(Stream(os.urandom(16)).opening())
        await dealer.recv()
    assert site.count("tunnels_opened") == MOST_CONNECTIONS + 2
    assert [await kind_of_answer(dealer) for dealer in dealers[:2]] == [CLOSE, CLOSE]  # the oldest went
    assert len(site.connections("Alice")) == MOST_CONNECTIONS
    factory = pb.PBClientFactory()
    site.tunnel("Aaron").connect("Bob", factory)  # and no other neighbour minds
    await future((await future(factory.getRootObject())).callRemote("echo", b""))
    assert len(site.connections("Alice")) == MOST_CONNECTIONS


# -- what comes in


async def opened(site: Site) -> tuple[Socket, Stream]:
    """A connection of Alice's that a test speaks for."""
    dealer, stream = site.raw("Alice"), Stream(os.urandom(16))
    await dealer.poll(5000, zmq.POLLOUT)
    await dealer.send(stream.opening())
    assert HEAD.unpack_from(await dealer.recv())[0] == DATA  # the dialects of Perspective Broker
    return dealer, stream


@pytest.mark.parametrize(
    "wrong",
    [
        lambda stream: b"",
        lambda stream: os.urandom(200),
        lambda stream: [stream.tick(), stream.tick()][1],  # one was lost
        lambda stream: HEAD.pack(DATA, stream.connection, 1, 99) + b"data",
        lambda stream: HEAD.pack(OPEN, stream.connection, 1, 0) + b"again",
        lambda stream: Stream(os.urandom(16)).opening(),
        lambda stream: stream.write(b"\x01\xff\xfe no Perspective Broker")[0],
        lambda stream: stream.write(bytes(LARGEST))[0],
    ],
)
async def test_a_frame_that_does_not_fit_cuts_the_connection(site: Site, wrong: Callable[[Stream], bytes]) -> None:
    dealer, stream = await opened(site)
    assert len(site.connections("Alice")) == 1
    await dealer.send(wrong(stream))
    assert await kind_of_answer(dealer) == CLOSE
    assert site.connections("Alice") == []
    assert site.count("tunnels_broken") == 1
    factory = pb.PBClientFactory()
    site.tunnel("Alice").connect("Bob", factory)
    assert await future((await future(factory.getRootObject())).callRemote("echo", b"well")) == b"well"


async def test_a_frame_too_long_is_not_even_read(site: Site) -> None:
    dealer, _stream = await opened(site)
    await dealer.send(bytes(LONGEST_FRAME + 1))
    await until(lambda: site.connections("Alice") == [])


async def test_frames_of_no_connection_are_dismissed(site: Site) -> None:
    dealer, stream = site.raw("Alice"), Stream(os.urandom(16))
    stream.opening()  # is lost
    await dealer.poll(5000, zmq.POLLOUT)
    await dealer.send(stream.write(b"data")[0])
    assert await kind_of_answer(dealer) == CLOSE
    await dealer.send(b"garbage")
    await until(lambda: site.count("tunnels_broken") == 1)
    assert (site.count("tunnels_opened"), site.count("tunnels_dismissed")) == (0, 1)


async def test_who_takes_nothing_is_sent_a_window_and_then_given_up(site: Site) -> None:
    dealer, _stream = await opened(site)
    [there] = site.connections("Alice")
    for _ in range((MOST_WAITING >> 20) - 1):
        there.write(bytes(1 << 20))
        await asyncio.sleep(0)
    there.write(bytes(MOST_WAITING - there.waiting))
    assert there.waiting == MOST_WAITING
    assert len(site.connections("Alice")) == 1
    there.write(b".")
    assert site.connections("Alice") == []
    frames: list[bytes] = []
    while not frames or HEAD.unpack_from(frames[-1])[0] != CLOSE:
        frames.append(await asyncio.wait_for(dealer.recv(), 10))
    assert sum(len(frame) - HEAD.size for frame in frames) <= WINDOW * LARGEST


# -- cables


async def test_a_cut_cable_is_noticed_at_both_ends_and_dialling_again_works(
    site: Site, make_relay: Callable[..., Awaitable[Any]]
) -> None:
    relay = await make_relay(site.port)
    factory = pb.PBClientFactory()
    alice = site.tunnel("Alice", relay.port)
    alice.connect("Bob", factory)
    root = await future(factory.getRootObject())
    assert await future(root.callRemote("echo", b"")) == b""
    relay.hold()
    asked = root.callRemote("echo", b"into the void")
    await until(lambda: site.connections("Alice") + site.connections("Bob") == [], within=5.0)
    with pytest.raises(Failed, match=r"gone|closed"):
        await future(asked)

    relay.drop()
    relay.release()
    anew = pb.PBClientFactory()
    alice.connect("Bob", anew)
    assert await future((await future(anew.getRootObject())).callRemote("echo", b"anew")) == b"anew"


async def test_a_socket_that_has_connected_anew_does_not_go_on_with_the_old_connection(
    site: Site, make_relay: Callable[..., Awaitable[Any]]
) -> None:
    relay = await make_relay(site.port)
    factory = pb.PBClientFactory()
    site.tunnel("Alice", relay.port).connect("Bob", factory)
    root = await future(factory.getRootObject())
    asked = [root.callRemote("echo", os.urandom(10_000)) for _ in range(20)]
    relay.drop()  # with some of them on the way; ZeroMQ connects again by itself within 20 ms
    said = await asyncio.gather(*(future(one) for one in asked), return_exceptions=True)
    assert any(isinstance(one, Failed) for one in said)
    await until(lambda: root.broker.disconnected and site.connections("Alice") + site.connections("Bob") == [])
