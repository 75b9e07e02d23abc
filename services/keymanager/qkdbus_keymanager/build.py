"""The one place that picks the parts of the key manager and puts them together."""

from __future__ import annotations

import logging
import os
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

from qkdbus.contracts.keymanager import CONTRACT, PEER
from qkdbus.contracts.keysync import ALARM, AVAILABLE, CLEAR
from qkdbus.contracts.keysync import CONTRACT as KEYSYNC
from qkdbus.network.model import Buffers
from qkdbus.runtime import Room
from qkdbus.runtime.health import part
from qkdbus.wire.keymanager_pb2 import QoS

from .absent import Absent
from .feed import Feed
from .getting import Getting
from .leaving import Leaving
from .links import Links
from .nextdoor import NextDoor
from .opening import Opening
from .peers import Peers
from .ports import Asks, Publish, Tasks
from .qos import Offer, negotiate
from .registry import Registry
from .service import StoredKeyManager
from .store import Store
from .waiting import Waiting


@dataclass
class World:
    """All that a key manager needs from outside."""

    me: str
    nodes: Collection[str]
    keysync: Asks
    neighbours: Mapping[str, Asks]
    store: Store
    boot_id: str
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    fatal: Callable[[BaseException], None]
    buffers: Buffers = field(default_factory=Buffers)
    strict_status: bool = False
    token: Callable[[int], bytes] = os.urandom
    ksid: Callable[[], bytes] = lambda: uuid.uuid4().bytes
    publish: Publish = lambda event, **fields: None
    shut_out: Mapping[str, str] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("keymanager"))


def assemble(world: World) -> StoredKeyManager:
    """Wire a key manager. Call it inside a running loop."""
    log, keysync, counters = world.log, world.keysync, world.counters
    registry = Registry(world.store, world.clock, world.monotonic)
    registry.load(world.boot_id)
    tasks = Tasks(world.fatal)
    absent = Absent(registry, world.strict_status)
    manager = StoredKeyManager(registry, absent, tasks, log)
    links = Links(keysync, world.monotonic)

    def offers(wish: QoS) -> Offer:
        return negotiate(wish, world.buffers)

    feed = Feed(registry, keysync, tasks, manager.arrived, manager.gone, counters, log)
    peers = Peers(world.me, world.neighbours, registry, tasks, manager.synced, feed.attached, offers)
    leaving = Leaving(registry, keysync, peers, tasks, world.buffers.close_grace_s, world.publish, log)
    waiting = Waiting(lambda waiter: getting.serve(waiter), peers, links, tasks)
    getting = Getting(registry, feed, waiting, absent, world.shut_out)
    opening = Opening(
        *(world.me, world.nodes, world.buffers, registry, peers, links, leaving, keysync, tasks),
        *(world.token, world.ksid, feed.attached, world.publish, log),
    )
    next_door = NextDoor(world.me, world.buffers, registry, peers, feed)
    manager.wire(opening, getting, waiting, leaving, feed, peers, links, next_door)
    return manager


def build(room: Room) -> StoredKeyManager:
    """Build the key manager of a node and open its doors."""
    settings = room.settings
    neighbours = {
        n.name: room.asker(f"tcp://{n.host}:{n.ports.keymanager}", PEER, server_key=n.public_key)
        for n in settings.neighbours
    }
    world = World(
        me=settings.name,
        nodes=settings.nodes,
        keysync=room.asker(settings.ipc("keysync"), KEYSYNC),
        neighbours=neighbours,
        store=Store(settings.state("keymanager"), settings.durability),
        boot_id=room.boot_id,
        clock=room.lasting,
        monotonic=room.monotonic,
        fatal=room.die,
        buffers=settings.buffers,
        strict_status=settings.security.strict_status,
        publish=room.publish,
        shut_out=room.shut_out,
        counters=room.counters,
        log=room.log,
    )
    manager = assemble(world)
    _open_doors(room, manager)
    return manager


def _open_doors(room: Room, manager: StoredKeyManager) -> None:
    settings, ports, commit = room.settings, room.settings.ports, manager.commit
    inner, north = settings.ipc("keymanager"), f"tcp://{settings.listen}:{ports.north}"
    room.serve(inner, CONTRACT, manager, commit=commit)
    room.serve(north, CONTRACT, manager, door="north", commit=commit)
    peers = f"tcp://{settings.listen}:{ports.keymanager}"
    room.serve(peers, PEER, manager.next_door, door="peers", commit=commit)
    topics = [f"{settings.name}.keysync.{event}" for event in (AVAILABLE, ALARM, CLEAR)]
    room.listen(settings.ipc("keysync.events"), topics, manager.heard)
    _measure(room, manager)


def _measure(room: Room, manager: StoredKeyManager) -> None:
    """Say in numbers what there is, and what was done since the start."""
    registry = manager.registry
    streams = registry.streams
    room.totals["keys_delivered"] = lambda: registry.delivered
    room.totals["keys_expired"] = lambda: registry.expired
    room.gauges["streams"] = lambda: float(len(streams))
    room.gauges["keys_buffered"] = lambda: float(sum(s.fresh for s in streams.values()))
    room.gauges["buffer_bytes"] = lambda: float(sum(s.buffer.held_bytes for s in streams.values()))
    room.gauges["callers"] = lambda: float(len(registry.callers))
    room.gauges["calls_awaiting_key"] = lambda: float(sum(len(s.waiters) for s in streams.values()))
    for neighbour in room.settings.neighbours:
        name = neighbour.name
        room.gauges[part("peer_answers", peer=name)] = partial(_answers, manager, name)


def _answers(manager: StoredKeyManager, peer: str) -> float:
    return float(not manager.peers.silent(peer))
