"""Two workers, Alice's and Bob's, whose sockets are lines in memory."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper
from qkdbus.presharing import LinkSecret, file_name
from qkdbus.runtime.settings import Neighbour, Ports
from qkdbus.wire.dispatcher_pb2 import Exchange, Exchanged, JobName
from qkdbus.wire.qbackend_pb2 import Parcel, Run
from qkdbus_qbackend.authkeys import AuthStore
from qkdbus_qbackend.channel import Channel
from qkdbus_qbackend.emulators.ideal import IdealEmulator
from qkdbus_qbackend.emulators.photonic.clock import LinkClock
from qkdbus_qbackend.emulators.photonic.emulator import PhotonicEmulator
from qkdbus_qbackend.emulators.port import Emulator
from qkdbus_qbackend.service import QBackend, World
from qkdbus_qbackend.switchboard import Switchboard
from qkdbus_qbackend.watch import SLOW

from ..jumping import JumpingLoop

LINK = LinkSettings(emulator="ideal", protocol="bbm92")


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Any]:
    """Let time jump where nothing is waited for but time."""
    return {"loop": JumpingLoop if item.path.name == "test_watch.py" else asyncio.new_event_loop}


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
    eve: Eavesdropper = field(default_factory=Eavesdropper)
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


def _keys(folder: Path, name: str, other: str, secret: LinkSecret) -> AuthStore:
    certs = folder / name / "certs"
    certs.mkdir(parents=True, exist_ok=True)
    (certs / file_name(other)).write_text(secret.text)
    (certs / file_name(other)).with_suffix(".used").unlink(missing_ok=True)
    return AuthStore(folder / name / f"auth-{secret.name}.sqlite", certs, time.time)


@pytest.fixture
def workers(tmp_path: Path) -> Callable[..., Workers]:
    """Return a maker of two workers on a link with these settings."""

    def make(
        link: LinkSettings = LINK,
        patience: float = 60.0,
        other_link: LinkSettings | None = None,
        slow: float = SLOW,
    ) -> Workers:
        ends: dict[str, End] = {}
        secret = LinkSecret.new()

        def emulator(near: Neighbour, channel: Channel, name: str) -> Emulator:
            if near.link.emulator == "ideal":
                return IdealEmulator(channel, near.link.noise, os.urandom, seed=5)
            clock = LinkClock(near.link.photonic.speed, time.monotonic, asyncio.sleep)
            setup = near.link.photonic.setup(near.link.protocol)
            return PhotonicEmulator(channel, setup, lambda: ends[name].eve, clock, os.urandom, seed=5)

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
            keys = _keys(tmp_path, name, other, secret)
            world = World(os.urandom, keys.link, time.time, time.monotonic, log, counters, patience=patience, slow=slow)
            backend = QBackend(
                (neighbour,),
                board,
                lambda near, channel, name=name: emulator(near, channel, name),  # type: ignore[misc]
                world,
            )
            ends[name] = End(name, neighbour, wire, board, backend, counters)
        return Workers(ends["Alice"], ends["Bob"])

    return make
