"""Wires a qbackend worker: settings in, service out."""

from __future__ import annotations

import os
from collections.abc import Mapping

from qkdbus.bus.asker import Asker
from qkdbus.bus.known import Stamp, stamp_of
from qkdbus.contracts.emulator import CONTRACT as EMULATOR
from qkdbus.contracts.qbackend import CONTRACT, PEER
from qkdbus.presharing import file_name
from qkdbus.runtime import Room, Service
from qkdbus.runtime.settings import Neighbour, NodeSettings
from qkdbus.wire.qbackend_pb2 import Attack, Attacked

from . import eve
from .authkeys import AuthKeys, AuthStore
from .channel import Channel
from .emulators.ideal import IdealEmulator
from .emulators.port import Emulator
from .emulators.simulaqron.port_client import SimulaqronEmulator, bases_of
from .measures import Measures
from .own import Form
from .photonics import Photonics
from .service import QBackend, World
from .switchboard import Switchboard, Teller

AT_ONCE = 8  # exchanges


class Built:
    """A worker with its sockets."""

    def __init__(self, room: Room, forms: Mapping[str, Form] | None) -> None:
        self._room = room
        settings = room.settings
        self._door = f"tcp://{settings.listen}:{settings.ports.qbackend[room.replica]}"
        self._emulator_program: Asker | None = None
        self._store: AuthStore | None = None
        self._keys: dict[str, tuple[Stamp, AuthKeys]] = {}  # and of which file they are
        self._channels = eve.channels_here(settings.neighbours, "photonic")
        self._book = eve.EveBook(eve.kept_in(settings), eve.defaults(self._channels), monotonic=room.monotonic)
        self._photonics = Photonics(room, self._book)
        self._board = Switchboard(
            settings.name,
            settings.neighbours,
            self._connect,
            monotonic=room.monotonic,
            counters=room.counters,
            own_door=self._door,
        )
        world = World(
            os.urandom,
            self._keys_of,
            room.clock,
            room.monotonic,
            room.log,
            room.counters,
            since=room.vitals.since,
            publish=room.publish,
            attack=self._attack,
            measured=Measures(room).exchange,
        )
        self._backend = QBackend(settings.neighbours, self._board, self._emulator, world, forms)
        room.gauges["capacity"] = lambda: float(capacity(settings))
        room.gauges["running"] = lambda: float(self._backend.running)
        room.gauges["parcels_early"] = lambda: float(self._board.early)

    async def start(self) -> None:
        """Listen to neighbours' workers, then to the dispatcher."""
        room = self._room
        room.serve(self._door, PEER, self._board, door="peers")
        room.serve(room.settings.ipc(f"qbackend.{room.replica}"), CONTRACT, self._backend)
        self._photonics.start()
        room.publish("started")  # binds: whoever listens by then will hear of the first block

    async def stop(self) -> None:
        """End what runs."""
        await self._backend.stop()
        if self._store is not None:
            self._store.close()

    def waiting_for(self) -> str:
        """Return "" when ready: a worker listens at once, and compiles what photonic links need."""
        return self._photonics.waiting_for()

    def _connect(self, neighbour: Neighbour, endpoint: str) -> Teller:
        return self._room.asker(endpoint, PEER, server_key=neighbour.public_key)

    def _keys_of(self, peer: str) -> AuthKeys:
        settings, known = self._room.settings, self._keys.get(peer)
        stamp = stamp_of(settings.certs / file_name(peer)) or (known[0] if known else (0, 0))
        if known is None or known[0] != stamp:  # new, or the link was given a new secret while we run
            if self._store is None:
                self._store = AuthStore(settings.state("auth"), settings.certs, self._room.lasting, self._fenced)
            known = self._keys[peer] = stamp, self._store.link(peer)
        return known[1]

    def _fenced(self, process: int) -> None:
        self._room.counters["workers_fenced"] += 1
        self._room.log.warning("stopped_worker_killed", extra={"pid": process, "reason": "it had the keys' store"})

    def _attack(self, request: Attack) -> Attacked:
        return eve.attack(request, links=self._channels, book=self._book, log=self._room.log)

    def _emulator(self, neighbour: Neighbour, channel: Channel) -> Emulator:
        if neighbour.link.emulator == "photonic":
            return self._photonics.emulator(neighbour, channel)
        if neighbour.link.emulator == "ideal":
            seed = int.from_bytes(os.urandom(8), "little")
            return IdealEmulator(channel, neighbour.link.noise, os.urandom, seed)
        if self._emulator_program is None:
            self._emulator_program = self._room.asker(self._room.settings.ipc("emulator"), EMULATOR)
        return SimulaqronEmulator(self._emulator_program, bases=bases_of(neighbour.link))


def capacity(settings: NodeSettings) -> int:
    """Return how many exchanges this worker wants at once: more would only share the same processor.

    Those on photonic links that keep to a clock wait most of the time; they come on top.
    """
    choice = settings.layers.get("qbackend")
    if choice is not None and choice.capacity is not None:
        return choice.capacity
    links = [neighbour.link for neighbour in settings.neighbours]
    clocked = sum(link.jobs for link in links if link.emulator == "photonic" and link.photonic.speed)
    return max([AT_ONCE, *(link.jobs for link in links)]) + clocked


def build(room: Room, forms: Mapping[str, Form] | None = None) -> Service:
    """Build one worker of one node. `forms`: neighbour -> how blocks are formed on that link, where not by us."""
    return Built(room, forms)
