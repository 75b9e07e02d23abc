"""Wires the dispatcher: settings in, service out."""

from __future__ import annotations

from qkdbus.contracts.dispatcher import CONTRACT
from qkdbus.contracts.qbackend import CONTRACT as QBACKEND
from qkdbus.runtime import Room, Service
from qkdbus.signs import look, watch_death

from .measures import measure
from .service import Dispatcher
from .workers import Watcher, Worker


class Built:
    """The dispatcher with its sockets."""

    def __init__(self, room: Room) -> None:
        self._room = room
        settings = room.settings
        choice = settings.layers.get("qbackend")
        limit = (choice.capacity if choice else None) or 0
        workers = [
            Worker(
                number,
                f"tcp://{settings.host}:{port}",
                room.asker(settings.ipc(f"qbackend.{number}"), QBACKEND),
                limit,
            )
            for number, port in enumerate(settings.ports.qbackend)
        ]
        self._dispatcher = Dispatcher(workers, room.monotonic, counters=room.counters)
        self._watcher = Watcher(workers, room.log, room.publish, look=look, watch_death=watch_death)
        measure(room, self._dispatcher, workers)

    async def start(self) -> None:
        """Look for workers, and serve."""
        self._watcher.start()
        self._room.serve(self._room.settings.ipc("dispatcher"), CONTRACT, self._dispatcher)

    async def stop(self) -> None:
        """End what runs."""
        await self._dispatcher.stop()
        await self._watcher.stop()

    def waiting_for(self) -> str:
        """Return "" when at least one worker lives."""
        return self._dispatcher.waiting_for()


def build(room: Room) -> Service:
    """Build the dispatcher of one node."""
    return Built(room)
