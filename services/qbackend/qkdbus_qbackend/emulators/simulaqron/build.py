"""Wire the emulator program: SimulaQron's virtual node on this process's loop, served on the node's bus."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from qkdbus.contracts.emulator import CONTRACT
from qkdbus.errors import Refused
from qkdbus.runtime import Room, Service
from qkdbus.runtime.settings import Neighbour

from . import library
from .broker import UnixNeighbours
from .late_reactor import start_reactor
from .node import QkdVirtualNode
from .registers import Pauli, Registers
from .service import MOST_REGISTERS, Channel, SimulaqronService

SOCKET = "simulaqron.sock"  # in the node's run/ folder
ANSWER_WITHIN = 5.0  # s until a neighbour's node counts as lost
_SWEEP = 5.0  # s


def build(room: Room) -> Service:
    """Return the emulator program of one node."""
    return EmulatorProgram(room)


class EmulatorProgram:
    """The virtual node, its links and the service, from start to stop."""

    def __init__(self, room: Room) -> None:
        settings = room.settings
        linked = [n for n in settings.neighbours if n.link.emulator == "simulaqron"]
        self._room = room
        for n in linked:
            if not n.emulator_socket:
                # the broker goes over Unix sockets only: without one, pairs on this link stay Unavailable
                room.log.warning("neighbour_without_socket", extra={"peer": n.name})
        self._channels = {n.name: _channel(n) for n in linked}
        self._neighbours = UnixNeighbours(
            settings.name,
            # the link's arbiter is its source, and dials
            {n.name: Path(n.emulator_socket) for n in linked if n.arbiter and n.emulator_socket},
            frozenset(n.name for n in linked),
            patience=ANSWER_WITHIN,
            log=room.log,
        )
        self._node = QkdVirtualNode(settings.name, MOST_REGISTERS, self._neighbours.meet)
        self._service = SimulaqronService(
            Registers(self._node, random.SystemRandom()),
            self._neighbours,
            self._channels,
            monotonic=room.monotonic,
            counters=room.counters,
            log=room.log,
        )
        self._sweeping: asyncio.Task[None] | None = None
        self._listening = False

    async def start(self) -> None:
        """Listen for the neighbours' nodes and serve the workers."""
        room = self._room
        reactor = start_reactor(asyncio.get_running_loop(), room.log)
        self._neighbours.start(reactor, self._node, self._service, room.settings.run / SOCKET)
        self._listening = True
        room.gauges["registers"] = lambda: float(len(self._node.registers))
        room.gauges["peers_up"] = lambda: float(len(self._neighbours.up()))
        room.serve(room.settings.ipc("emulator"), CONTRACT, self._service)
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Close the links: pairs in flight are lost, as in any quantum channel."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._neighbours.stop()

    def waiting_for(self) -> str:
        """Return "" when ready. Neighbours may come later: `list_lines` shows who is there."""
        faults = [channel.fault for channel in self._channels.values() if channel.fault]
        if faults:
            return faults[0]
        return "" if self._listening else "the virtual node's socket"

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            self._service.sweep()


def _channel(neighbour: Neighbour) -> Channel:
    link = neighbour.link
    channel = Channel(link.engine, Pauli(link.noise.x, link.noise.y, link.noise.z))
    try:
        library.require(link.engine)
    except Refused as error:
        channel.fault = str(error)  # the other links go on; `ping` and each call on this link say why
    return channel
