"""The composition root: settings in, wired layer out."""

from __future__ import annotations

import os
from collections.abc import Callable

from qkdbus.contracts import dispatcher, keysync
from qkdbus.runtime import Room, Service
from qkdbus.runtime.settings import Neighbour
from qkdbus.wire import keysync_pb2 as wire

from .arbiter import Arbiter
from .end import Rules
from .follower import Follower
from .link import Link, Surroundings
from .service import KeySync
from .store import Store, open_store


def build(room: Room) -> Service:
    """Wire keysync: its database, a link per neighbour, two doors."""
    settings = room.settings
    store, fresh = open_store(settings.state("keysync"), room.boot_id, settings.durability)
    room.log.info("store", extra={"fresh": fresh or "no"})
    service = KeySync(store, room.log, room.die)
    asker = room.asker(settings.ipc("dispatcher"), dispatcher.CONTRACT)
    service.attach(
        Link(
            _end(room, store, neighbour),
            Surroundings(
                tell=_tell(room, neighbour),
                dispatcher=asker,
                publish=room.publish,
                settle=service.settle,
                wake=service.wake,
                clock=room.clock,
                monotonic=room.monotonic,
                log=room.log,
            ),
        )
        for neighbour in settings.neighbours
    )
    room.serve(settings.ipc("keysync"), keysync.CONTRACT, service, commit=service.commit)
    peers = f"tcp://{settings.host}:{settings.ports.keysync}"
    room.serve(peers, keysync.PEER, service, door="peers", commit=service.commit)
    return service


def _end(room: Room, store: Store, neighbour: Neighbour) -> Arbiter | Follower:
    link = neighbour.link
    rules = Rules(
        protocol=link.protocol,
        block_bits=link.block_bits,
        jobs=link.jobs,
        reservoir_bits=link.reservoir_bits,
        window_bytes=room.settings.buffers.window_bytes,
        reservoir_life=room.settings.buffers.default_ttl_s,
    )
    kind = Arbiter if neighbour.arbiter else Follower
    return kind(store, neighbour.name, rules, os.urandom)


def _tell(room: Room, neighbour: Neighbour) -> Callable[[wire.Reconcile], None]:
    endpoint = f"tcp://{neighbour.host}:{neighbour.ports.keysync}"
    asker = room.asker(endpoint, keysync.PEER, server_key=neighbour.public_key)

    def tell(message: wire.Reconcile) -> None:
        asker.tell("reconcile", message)

    return tell
