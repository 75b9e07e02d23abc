"""The composition root: settings in, wired layer out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from qkdbus.contracts import dispatcher, keysync
from qkdbus.network.model import LinkSettings
from qkdbus.physics.expected import expected
from qkdbus.runtime import Room, Service
from qkdbus.runtime.settings import Neighbour
from qkdbus.wire import keysync_pb2 as wire

from .arbiter import Arbiter
from .end import Rules
from .follower import Follower
from .link import Link, Surroundings
from .measures import measure
from .policy import ByPriority, Policy
from .service import KeySync
from .store import Store, open_store

DAY = 86_400.0  # s


def build(room: Room, policy: Callable[[], Policy] = ByPriority) -> Service:
    """Wire keysync: its database, a link per neighbour, two doors.

    `policy` makes what shares out the key of a link, for each link of which this node is the arbiter.
    """
    settings = room.settings
    store, fresh = open_store(settings.state("keysync"), room.boot_id, settings.durability)
    room.log.info("store", extra={"fresh": fresh or "no"})
    service = KeySync(store, room.log, room.die)
    asker = room.asker(settings.ipc("dispatcher"), dispatcher.CONTRACT)
    service.attach(
        Link(
            _end(room, store, neighbour, policy),
            Surroundings(
                tell=_tell(room, neighbour),
                dispatcher=asker,
                publish=room.publish,
                settle=service.settle,
                wake=service.wake,
                clock=room.lasting,
                monotonic=room.monotonic,
                log=room.log,
                shut_out=_shut_out(room, neighbour),
            ),
        )
        for neighbour in settings.neighbours
    )
    for link in service.links:
        measure(room, link, lambda: service.running)
    room.serve(settings.ipc("keysync"), keysync.CONTRACT, service, commit=service.commit)
    peers = f"tcp://{settings.listen}:{settings.ports.keysync}"
    room.serve(peers, keysync.PEER, service, door="peers", commit=service.commit)
    return service


def _end(room: Room, store: Store, neighbour: Neighbour, policy: Callable[[], Policy]) -> Arbiter | Follower:
    link = neighbour.link
    rules = Rules(
        protocol=link.protocol,
        block_bits=link.block_bits,
        jobs=link.jobs,
        reservoir_bits=link.reservoir_bits,
        window_bytes=room.settings.buffers.window_bytes,
        reservoir_life=room.settings.buffers.default_ttl_s,
    )
    if link.emulator == "photonic":  # blocks of millions of bits, on a clock of the link's own
        rules = replace(rules, patience=_patience(link), own_block_patience=20.0, formed_patience=30.0)
    elif link.emulator == "simulaqron" and "stabilizer" not in link.engines():
        # some 10 pairs a bit (e91) from an engine that makes 50 a second where the machine is busy
        rules = replace(rules, patience=120.0, patience_per_bit=0.2 * link.jobs, own_block_patience=10.0)
    elif link.emulator == "simulaqron":  # many links on one machine wait for each other
        rules = replace(rules, patience=300.0)
    if neighbour.arbiter:
        return Arbiter(store, neighbour.name, rules, os.urandom, policy())
    return Follower(store, neighbour.name, rules, os.urandom)


def _patience(link: LinkSettings) -> float:
    """Return how long an exchange on a photonic link may take, s: several share the link's time."""
    setup, speed = link.photonic.setup(link.protocol), link.photonic.speed
    seconds = expected(setup, link.protocol).seconds(link.photonic.block_bits(link.protocol)) / speed if speed else 0.0
    return min(DAY, 120.0 + 2 * link.jobs * seconds)


def _shut_out(room: Room, neighbour: Neighbour) -> Callable[[], str]:
    return lambda: room.shut_out.get(neighbour.name, "")


def _tell(room: Room, neighbour: Neighbour) -> Callable[[wire.Reconcile], None]:
    endpoint = f"tcp://{neighbour.host}:{neighbour.ports.keysync}"
    asker = room.asker(endpoint, keysync.PEER, server_key=neighbour.public_key)

    def tell(message: wire.Reconcile) -> None:
        asker.tell("reconcile", message)

    return tell
