"""Wires a qbackend worker: settings in, service out."""

from __future__ import annotations

import os

from qkdbus.contracts.emulator import CONTRACT as EMULATOR
from qkdbus.contracts.qbackend import CONTRACT, PEER
from qkdbus.runtime import Room, Service
from qkdbus.runtime.settings import Neighbour

from .channel import Channel
from .emulators.ideal import IdealEmulator
from .emulators.port import Emulator
from .emulators.simulaqron.port_client import SimulaqronEmulator
from .service import QBackend, World
from .switchboard import Switchboard, Teller


class Built:
    """A worker with its sockets."""

    def __init__(self, room: Room) -> None:
        self._room = room
        settings = room.settings
        self._door = f"tcp://{settings.host}:{settings.ports.qbackend[room.replica]}"
        self._simulaqron: SimulaqronEmulator | None = None
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
            room.clock,
            room.monotonic,
            room.log,
            room.counters,
            since=room.vitals.since,
            publish=room.publish,
        )
        self._backend = QBackend(settings.neighbours, self._board, self._emulator, world)
        room.gauges["running"] = lambda: float(self._backend.running)
        room.gauges["parcels_early"] = lambda: float(self._board.early)

    async def start(self) -> None:
        """Listen to neighbours' workers, then to the dispatcher."""
        room = self._room
        room.serve(self._door, PEER, self._board, door="peers")
        room.serve(room.settings.ipc(f"qbackend.{room.replica}"), CONTRACT, self._backend)

    async def stop(self) -> None:
        """End what runs."""
        await self._backend.stop()

    def waiting_for(self) -> str:
        """Return "": a worker is ready when it listens."""
        return ""

    def _connect(self, neighbour: Neighbour, endpoint: str) -> Teller:
        return self._room.asker(endpoint, PEER, server_key=neighbour.public_key)

    def _emulator(self, neighbour: Neighbour, channel: Channel) -> Emulator:
        if neighbour.link.emulator == "ideal":
            seed = int.from_bytes(os.urandom(8), "little")
            return IdealEmulator(channel, neighbour.link.noise, os.urandom, seed)
        if self._simulaqron is None:
            self._simulaqron = SimulaqronEmulator(self._room.asker(self._room.settings.ipc("emulator"), EMULATOR))
        return self._simulaqron


def build(room: Room) -> Service:
    """Build one worker of one node."""
    return Built(room)
