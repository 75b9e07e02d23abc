"""A worker's photonic links: a clock for each, an emulator for each exchange, kernels compiled before the first."""

from __future__ import annotations

import asyncio
import importlib
import os
from functools import partial

from qkdbus.runtime import Room
from qkdbus.runtime.health import part
from qkdbus.runtime.settings import Neighbour

from .channel import Channel
from .emulators.photonic.clock import LinkClock
from .emulators.port import Emulator
from .eve import EveBook

COMPILED = f"{__package__}.compiled"


class Photonics:
    """What photonic links have in common at one worker. Without such links, or long blocks, it imports nothing."""

    def __init__(self, room: Room, book: EveBook) -> None:
        self._room, self._book = room, book
        links = [neighbour for neighbour in room.settings.neighbours if neighbour.link.emulator == "photonic"]
        choice = room.settings.layers.get("qbackend")
        share = 1 / choice.replicas if choice else 1.0
        self._clocks = {n.name: LinkClock(n.link.photonic.speed, room.monotonic, asyncio.sleep, share) for n in links}
        self._large = any(neighbour.link.large for neighbour in room.settings.neighbours)
        self._compiling: asyncio.Task[object] | None = None
        for name, clock in self._clocks.items():
            room.gauges[part("link_speed", peer=name)] = partial(getattr, clock, "achieved")

    def start(self) -> None:
        """Compile, or load, what long blocks need, on whatever link; little to do where the parent has done it."""
        if self._large:
            self._compiling = asyncio.create_task(asyncio.to_thread(importlib.import_module, COMPILED))

    def waiting_for(self) -> str:
        """Return "" when exchanges can begin."""
        task = self._compiling
        if task is None or (task.done() and not task.exception()):
            return ""
        return f"its kernels: {task.exception()}" if task.done() else "its kernels to be compiled, once on this machine"

    def emulator(self, neighbour: Neighbour, channel: Channel) -> Emulator:
        """Return the emulator of one exchange on a link."""
        from .emulators.photonic.emulator import PhotonicEmulator

        return PhotonicEmulator(
            channel,
            neighbour.link.photonic.setup(neighbour.link.protocol),
            partial(self._book.at, neighbour.name),
            self._clocks[neighbour.name],
            os.urandom,
            int.from_bytes(os.urandom(8), "little"),
        )
