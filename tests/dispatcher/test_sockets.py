"""The dispatcher as it is built, over real sockets, with a worker that comes and goes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from qkdbus.conformance.standins import worker
from qkdbus.conformance.standins.worker import Worker
from qkdbus.contracts.dispatcher import CONTRACT
from qkdbus.runtime import Room
from qkdbus.runtime.settings import NodeSettings, Ports
from qkdbus.wire.dispatcher_pb2 import Exchange, JobName, Reserve
from qkdbus.wire.head_pb2 import Ping
from qkdbus_dispatcher.build import build


def settings_of(folder: Path) -> NodeSettings:
    return NodeSettings(
        network="test",
        name="Alice",
        host="127.0.0.1",
        directory=folder,
        run=folder / "run",
        ports=Ports(north=1, keymanager=2, keysync=3, qbackend=(4,)),
        nodes=("Alice",),
        neighbours=(),
    )


def start_worker(settings: NodeSettings) -> tuple[Room, Worker]:
    room = Room(settings, "qbackend", 0, logging.getLogger("test"))
    return room, worker.serve(room)


@pytest.fixture
async def node(tmp_path: Path) -> Any:
    """The settings of a node with a running dispatcher, its asker, and a starter of its worker."""
    settings = settings_of(tmp_path)
    rooms = [Room(settings, "dispatcher", 0, logging.getLogger("test"))]
    service = build(rooms[0])
    await service.start()
    rooms[0].vitals.waiting_for = service.waiting_for

    def start() -> Worker:
        for room in rooms[1:]:
            room.close()
        room, worker = start_worker(settings)
        rooms[1:] = [room]
        return worker

    yield service, rooms[0].asker(settings.ipc("dispatcher"), CONTRACT), start
    await service.stop()
    for room in rooms:
        room.close()


async def ready(service: Any, patience: float = 30.0) -> Any:
    async with asyncio.timeout(patience):
        while service.waiting_for():
            await asyncio.sleep(0.01)


async def test_the_dispatcher_is_ready_once_a_worker_answers(node: Any) -> None:
    service, asker, start = node
    health = await asker.ask("ping", Ping())
    assert not health.ready and health.waiting_for == "a qbackend worker"
    start()
    await ready(service)
    assert (await asker.ask("ping", Ping())).ready


async def test_a_job_goes_through_the_bus(node: Any) -> None:
    service, asker, start = node
    start()
    await ready(service)
    reserved = await asker.ask("reserve", Reserve(name=JobName(peer="Bob", job=1)))
    assert reserved.endpoint == "tcp://127.0.0.1:4"
    answer = await asker.ask("exchange", Exchange(name=JobName(peer="Bob", job=1), bits=64))
    assert answer.block.length == 64


async def test_a_job_ends_when_its_worker_starts_anew_and_the_next_one_is_carried_out(node: Any) -> None:
    service, asker, start = node
    start().held = True
    await ready(service)
    lost = asyncio.create_task(asker.ask("exchange", Exchange(name=JobName(peer="Bob", job=2), bits=64)))
    await asyncio.sleep(0.1)
    start()  # as supervisord would
    answer = await asyncio.wait_for(lost, 30)
    assert answer.failure and not answer.HasField("block")
    await asyncio.sleep(0.1)
    answer = await asker.ask("exchange", Exchange(name=JobName(peer="Bob", job=3), bits=64))
    assert answer.block.length == 64
