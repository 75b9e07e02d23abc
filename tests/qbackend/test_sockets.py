"""Two workers as they are built, over real sockets: CURVE doors, reconnecting, restarts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from qkdbus.bus.asker import Asker
from qkdbus.bus.curve import KeyPair
from qkdbus.contracts.qbackend import CONTRACT, PEER
from qkdbus.network.model import LinkSettings
from qkdbus.presharing import LinkSecret, file_name
from qkdbus.runtime import Room, Service
from qkdbus.runtime.settings import Neighbour, NodeSettings, Ports
from qkdbus.wire.dispatcher_pb2 import Exchange, Exchanged, JobName
from qkdbus.wire.head_pb2 import Ping
from qkdbus.wire.qbackend_pb2 import Abort, Parcel, Run
from qkdbus_qbackend.build import build

LINK = LinkSettings(emulator="ideal", protocol="e91-same-bases")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Nodes:
    """Alice (arbiter) and Bob, one worker each."""

    def __init__(self, folder: Path) -> None:
        self.keys = {name: KeyPair.new() for name in ("Alice", "Bob", "Mallory")}
        self.ports = {
            name: Ports(north=1, keymanager=1, keysync=1, qbackend=(_free_port(),)) for name in ("Alice", "Bob")
        }
        self.folder, self.secret = folder, LinkSecret.new()
        self.rooms: dict[str, Room] = {}
        self.services: dict[str, Service] = {}

    def settings(self, name: str) -> NodeSettings:
        other = {"Alice": "Bob", "Bob": "Alice"}[name]
        directory = self.folder / name
        (directory / "certs").mkdir(parents=True, exist_ok=True)
        pair = {"public_key": self.keys[name].public, "secret_key": self.keys[name].secret}
        (directory / "certs" / "node.json").write_text(json.dumps(pair))
        (directory / "certs" / file_name(other)).write_text(self.secret.text)
        neighbour = Neighbour(
            name=other,
            host="127.0.0.1",
            ports=self.ports[other],
            public_key=self.keys[other].public,
            arbiter=name == "Alice",
            link=LINK,
        )
        return NodeSettings(
            network="test",
            name=name,
            host="127.0.0.1",
            directory=directory,
            run=directory / "run",
            ports=self.ports[name],
            nodes=("Alice", "Bob"),
            neighbours=(neighbour,),
        )

    async def start(self, name: str) -> None:
        room = Room(self.settings(name), "qbackend", 0, logging.getLogger("test"))
        self.rooms[name], self.services[name] = room, build(room)
        await self.services[name].start()

    async def stop(self, name: str) -> None:
        await self.services.pop(name).stop()
        self.rooms.pop(name).close()

    def door(self, name: str) -> str:
        return f"tcp://127.0.0.1:{self.ports[name].qbackend[0]}"

    async def run(self, name: str, bits: int, job: int, patience: float = 30) -> Exchanged:
        room = self.rooms[name]
        asker = room.asker(room.settings.ipc("qbackend.0"), CONTRACT)
        peer = room.settings.neighbours[0]
        exchange = Exchange(
            name=JobName(peer=peer.name, epoch_n=1, epoch_r=9, job=job),
            arbiter=peer.arbiter,
            bits=bits,
            protocol=LINK.protocol,
            endpoint="" if peer.arbiter else self.door("Alice"),
        )
        answer = await asker.ask("run", Run(exchange=exchange), patience=patience)
        assert isinstance(answer, Exchanged)
        return answer

    async def both(self, bits: int, job: int) -> tuple[Exchanged, Exchanged]:
        return await asyncio.gather(self.run("Alice", bits, job), self.run("Bob", bits, job))


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    both = Nodes(tmp_path)
    await both.start("Alice")
    await both.start("Bob")
    yield both
    for name in list(both.services):
        await both.stop(name)


async def test_two_workers_form_the_same_key_over_their_sockets(nodes: Any) -> None:
    for job, bits in enumerate((64, 1024, 1 << 20), start=1):
        ours, theirs = await nodes.both(bits, job)
        assert not ours.failure and not theirs.failure
        assert ours.block.bits == theirs.block.bits and ours.block.length >= bits
        assert ours.block.run == theirs.block.run


async def test_the_first_exchange_does_not_wait_for_the_connection(nodes: Any) -> None:
    ours, _ = await nodes.both(64, 1)
    assert ours.block.record.duration < 1.0


async def test_either_end_may_begin_seconds_before_the_other(nodes: Any) -> None:
    for job, (first, second) in enumerate((("Alice", "Bob"), ("Bob", "Alice")), start=1):
        early = asyncio.create_task(nodes.run(first, 64, job))
        await asyncio.sleep(0.7)
        late = await nodes.run(second, 64, job)
        assert (await early).block.bits == late.block.bits != b""


async def test_work_goes_on_after_a_worker_was_started_anew(nodes: Any) -> None:
    await nodes.both(64, 1)
    await nodes.stop("Bob")
    await nodes.start("Bob")
    for job in range(2, 6):  # one may fail while the sockets find each other again
        ours, theirs = await nodes.both(64, job)
        if not ours.failure:
            break
    assert ours.block.bits == theirs.block.bits != b""


def _parcel(node: Any) -> Any:
    return Parcel(node=node, epoch_n=1, epoch_r=9, job=1, attempt=os.urandom(16), body=b"\x01\0" + bytes(8))


async def _tell(asker: Any, parcel: Any) -> Any:
    for _ in range(15):
        asker.tell("parcel", parcel)
        await asyncio.sleep(0.02)


async def test_a_neighbour_cannot_speak_in_the_name_of_another(nodes: Any) -> None:
    alice = nodes.rooms["Alice"].asker(nodes.door("Bob"), PEER, server_key=nodes.keys["Bob"].public)
    await _tell(alice, _parcel("Mallory"))
    assert nodes.rooms["Bob"].counters["parcels_of_strangers"] > 0
    ours, theirs = await nodes.both(64, 1)
    assert ours.block.bits == theirs.block.bits != b""


async def test_a_stranger_is_stopped_at_the_door(nodes: Any) -> None:
    bob = nodes.rooms["Bob"]
    stranger = Asker(
        nodes.rooms["Alice"].context,
        nodes.door("Bob"),
        PEER,
        os.urandom(16),
        pair=nodes.keys["Mallory"],
        server_key=nodes.keys["Bob"].public,
    )
    await _tell(stranger, _parcel("Alice"))
    stranger.close()
    assert bob.counters["refused_at_door"] > 0 and bob.counters["parcel"] == 0
    ours, theirs = await nodes.both(64, 1)
    assert ours.block.bits == theirs.block.bits != b""


async def test_a_worker_tells_of_its_health(nodes: Any) -> None:
    asker = nodes.rooms["Alice"].asker(nodes.rooms["Alice"].settings.ipc("qbackend.0"), CONTRACT)
    health = await asker.ask("ping", Ping())
    assert health.layer == "qbackend" and health.node == "Alice"
    await asker.ask("abort", Abort(name=JobName(peer="Bob", job=99)))  # of an unknown job: nothing happens
