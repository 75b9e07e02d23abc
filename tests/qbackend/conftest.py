"""Two workers, Alice's and Bob's, whose sockets are lines in memory."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from google.protobuf.message import Message

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.network.model import LinkSettings
from qkdbus.runtime.settings import Neighbour, Ports
from qkdbus.wire.dispatcher_pb2 import Exchange, Exchanged, JobName
from qkdbus.wire.qbackend_pb2 import Parcel, Run
from qkdbus_qbackend.emulators.ideal import IdealEmulator
from qkdbus_qbackend.service import QBackend, World
from qkdbus_qbackend.switchboard import Switchboard

LINK = LinkSettings(emulator="ideal", protocol="bbm92")


class Wire:
    """A Teller that hands notices to the other end's switchboard in the loop's next turn.

    `up` off: it drops them, as a socket does that is not connected. `pass_on` may change or drop (None) a parcel.
    """

    def __init__(self, speaker: str, board: Callable[[], Switchboard]) -> None:
        self._speaker, self._board = speaker, board
        self.up = True
        self.pass_on: Callable[[Parcel], Parcel | None] = lambda parcel: parcel
        self.sent: list[Parcel] = []

    def tell(self, method: str, request: Message) -> None:
        assert method == "parcel" and isinstance(request, Parcel)
        copy = Parcel.FromString(request.SerializeToString())
        self.sent.append(copy)
        passed = self.pass_on(copy) if self.up else None
        if passed is not None:
            asyncio.get_running_loop().call_soon(self._board().parcel, passed, Call(self._speaker))

    def close(self) -> None:
        self.up = False


@dataclass
class End:
    """One node's worker and what it has of the world."""

    name: str
    neighbour: Neighbour
    wire: Wire
    board: Switchboard
    backend: QBackend
    counters: Counter[str]
    running: list[asyncio.Task[Exchanged]] = field(default_factory=list)

    def asked(self, bits: int, job: int = 1, protocol: str = "") -> Run:
        arbiter = self.neighbour.arbiter
        endpoint = "" if arbiter else "tcp://0.0.0.0:9001"
        name = JobName(peer=self.neighbour.name, epoch_n=1, epoch_r=7, job=job)
        return Run(exchange=Exchange(name=name, arbiter=arbiter, bits=bits, protocol=protocol, endpoint=endpoint))

    def run(self, bits: int, job: int = 1, protocol: str = "") -> asyncio.Task[Exchanged]:
        task = asyncio.create_task(self.backend.run(self.asked(bits, job, protocol), Call(OPERATOR)))
        self.running.append(task)
        return task


@dataclass
class Workers:
    alice: End  # arbiter
    bob: End

    async def exchange(self, bits: int, job: int = 1, protocol: str = "") -> tuple[Exchanged, Exchanged]:
        return tuple(  # type: ignore[return-value]
            await asyncio.gather(self.alice.run(bits, job, protocol), self.bob.run(bits, job, protocol))
        )


def _neighbour(name: str, arbiter: bool, link: LinkSettings) -> Neighbour:
    number = {"Alice": 1, "Bob": 2}[name]
    ports = Ports(north=1, keymanager=2, keysync=3, qbackend=(9000 + number, 9100 + number))
    return Neighbour(name=name, host="10.0.0.1", ports=ports, public_key="k" * 40, arbiter=arbiter, link=link)


@pytest.fixture
def workers() -> Callable[..., Workers]:
    """Return a maker of two workers on a link with these settings."""

    def make(link: LinkSettings = LINK, patience: float = 2.0, other_link: LinkSettings | None = None) -> Workers:
        ends: dict[str, End] = {}
        for name, other in (("Alice", "Bob"), ("Bob", "Alice")):
            settings = link if name == "Alice" else other_link or link
            neighbour = _neighbour(other, arbiter=name == "Alice", link=settings)
            wire = Wire(name, lambda other=other: ends[other].board)  # type: ignore[misc]
            counters: Counter[str] = Counter()
            board = Switchboard(
                name,
                (neighbour,),
                lambda _neighbour, _endpoint, wire=wire: wire,  # type: ignore[misc]
                monotonic=time.monotonic,
                counters=counters,
                own_door="tcp://10.0.0.1:9002" if name == "Bob" else "tcp://10.0.0.1:9001",
            )
            log = logging.getLogger(f"test.{name}")
            world = World(os.urandom, time.time, time.monotonic, log, counters, patience=patience)
            backend = QBackend(
                (neighbour,),
                board,
                lambda near, channel: IdealEmulator(channel, near.link.noise, os.urandom, seed=5),
                world,
            )
            ends[name] = End(name, neighbour, wire, board, backend, counters)
        return Workers(ends["Alice"], ends["Bob"])

    return make
