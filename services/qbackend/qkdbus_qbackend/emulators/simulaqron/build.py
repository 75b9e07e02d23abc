"""Wire the emulator program: SimulaQron's virtual node on this process's loop, served on the node's bus."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from pathlib import Path

from qkdbus.contracts.emulator import CONTRACT
from qkdbus.runtime import Room, Service

from ... import eve
from .broker import BrokerNeighbours
from .channels import channel_of
from .late_reactor import start_reactor
from .node import QkdVirtualNode
from .registers import Registers
from .service import MOST_REGISTERS, SimulaqronService
from .tunnel import Tunnel
from .turns import FILE, Turns

SOCKET = "simulaqron.sock"  # in the node's run/ folder
ANSWER_WITHIN = 5.0  # s until a neighbour's node counts as lost
_SWEEP = 1.0  # s


def build(room: Room) -> Service:
    """Return the emulator program of one node."""
    return EmulatorProgram(room)


class EmulatorProgram:
    """The virtual node, its links and the service, from start to stop."""

    def __init__(self, room: Room) -> None:
        settings = room.settings
        linked = [n for n in settings.neighbours if n.link.emulator == "simulaqron"]
        self._room = room
        # to those on this host by their Unix sockets, to the others through a tunnel
        near = [n for n in linked if n.emulator_socket]
        far = [n for n in linked if not n.emulator_socket]
        # in a channel whose source is elsewhere she is met there
        here = eve.channels_here(linked, "simulaqron")
        book = eve.EveBook(eve.kept_in(settings), eve.defaults(here), monotonic=room.monotonic)
        self._channels = {n.name: channel_of(n.link, partial(book.at, n.name)) for n in linked}
        for name, channel in self._channels.items():
            if channel.fault:
                room.log.error("no_engine", extra={"peer": name, "reason": channel.fault})
        tunnel = Tunnel(room, far) if far else None
        if tunnel is not None:
            room.gauges["tunnel_octets_waiting"] = lambda: float(sum(one.waiting for one in tunnel.open()))
        self._neighbours = BrokerNeighbours(
            settings.name,
            # the link's arbiter is its source, and dials
            {n.name: Path(n.emulator_socket) for n in near if n.arbiter},
            frozenset(n.name for n in near),
            far=tunnel,
            patience=ANSWER_WITHIN,
            log=room.log,
        )
        self._turns = Turns(settings.directory.parent / FILE)
        self._node = QkdVirtualNode(settings.name, MOST_REGISTERS, self._neighbours.meet)
        self._service = SimulaqronService(
            Registers(self._node, random.SystemRandom()),
            self._neighbours,
            self._channels,
            turns=self._turns,
            attack=partial(eve.attack, links=here, book=book, log=room.log),
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
        self._turns.close()

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
