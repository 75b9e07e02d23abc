"""A small world for keysync: a fibre that gives both ends the same bits, two nodes, a post between them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.errors import Unavailable
from qkdbus.wire import keysync_pb2 as wire
from qkdbus.wire.dispatcher_pb2 import Cancelled, Exchange, Exchanged, KeyBlock, Reserved
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_keysync.arbiter import Arbiter
from qkdbus_keysync.end import Rules
from qkdbus_keysync.follower import Follower
from qkdbus_keysync.link import Link, Surroundings
from qkdbus_keysync.service import KeySync
from qkdbus_keysync.store import open_store


class Fibre:
    """Joins the two exchanges of a job: both ends get a block with the same run and bits, or both fail."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[int, int], asyncio.Future[Exchanged]] = {}
        self.alarm = False
        self.blind: bool | None = None  # which end (the arbiter: True) does not see what the alarm is about
        self.s = 0.0  # CHSH value of an exchange with an alarm
        self.cut = False
        self.light = asyncio.Event()  # waited for
        self.light.set()
        self.held = 0
        self.shorten = 0  # key bits that a block falls short of what was asked

    async def hold(self, request: Exchange) -> Exchanged:
        """Wait for the other end of this job."""
        if self.cut:
            raise Unavailable("no light")
        await self.light.wait()
        name = (request.name.epoch_r, request.name.job)
        other = self.waiting.pop(name, None)
        if other is None:
            mine: asyncio.Future[Exchanged] = asyncio.get_running_loop().create_future()
            self.waiting[name] = mine
            try:
                return await mine
            finally:
                self.waiting.pop(name, None)
        outcome = self._outcome(request)
        blinded = Exchanged(failure="the other end gave up") if self.alarm else outcome
        if not other.done():
            other.set_result(outcome if self.blind in (None, request.arbiter) else blinded)
        return blinded if self.blind == request.arbiter else outcome

    def _outcome(self, request: Exchange) -> Exchanged:
        self.held += 1
        if self.alarm:
            record = BlockRecord(qber=0.25, disclosed=10, s=self.s, s_error=0.05 if self.s else 0.0)
            return Exchanged(failure="QBER 0.25", alarm=True, record=record)
        length = max(1, request.bits - self.shorten)
        value = int.from_bytes(os.urandom((length + 7) // 8), "little") % (1 << length)
        run = os.urandom(16)
        record = BlockRecord(block_id=run, created=3 * length, disclosed=1, kept=length, length=length)
        bits = value.to_bytes((length + 7) // 8, "little")
        return Exchanged(block=KeyBlock(run=run, bits=bits, length=length, record=record))


class FakeDispatcher:
    """One end's dispatcher, with one worker on the fibre."""

    def __init__(self, fibre: Fibre) -> None:
        self.fibre = fibre
        self.cancelled: list[int] = []
        self.asked: list[int] = []  # bits

    async def ask(self, method: str, request: Message, *, patience: float | None = None) -> Message:
        """Answer as the dispatcher does."""
        if method == "reserve":
            return Reserved(worker=0, endpoint="tcp://worker")
        if method == "cancel":
            self.cancelled.append(request.name.job)  # type: ignore[attr-defined]
            return Cancelled()
        assert isinstance(request, Exchange)
        assert request.arbiter or request.endpoint == "tcp://worker"
        self.asked.append(request.bits)
        return await self.fibre.hold(request)


class Node:
    """keysync of one node, with one neighbour."""

    def __init__(self, net: Net, name: str, peer: str, *, arbiter: bool) -> None:
        self.net, self.name, self.peer, self.arbiter = net, name, peer, arbiter
        self.path = net.folder / f"{name}.sqlite"
        self.dispatcher = FakeDispatcher(net.fibre)
        self.events: list[tuple[str, dict[str, object]]] = []
        self.said: list[wire.Reconcile] = []
        self.up = False

    async def start(self, boot_id: str = "this boot") -> None:
        """Start the service on whatever its store holds."""
        self.store, self.fresh = open_store(self.path, boot_id)
        self.service = KeySync(self.store, logging.getLogger("keysync"), self.net.fatal)
        kind = Arbiter if self.arbiter else Follower
        self.end = kind(self.store, self.peer, self.net.rules, os.urandom)
        around = Surroundings(
            tell=self._tell,
            dispatcher=self.dispatcher,
            publish=self._publish,
            settle=self.service.settle,
            wake=self.service.wake,
            clock=self.net.clock,
            monotonic=asyncio.get_running_loop().time,
            log=logging.getLogger("keysync"),
        )
        self.link = Link(self.end, around)
        self.service.attach([self.link])
        self.up = True
        await self.service.start()

    async def stop(self) -> None:
        """Stop in good order."""
        self.up = False
        await self.service.stop()

    async def kill(self) -> None:
        """End as by kill -9: what is not committed is gone."""
        self.up = False
        self.service._running = False
        assert self.service._timer is not None
        self.service._timer.cancel()
        await self.link.close()
        self.store.close(clean=False)

    def _publish(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    def _tell(self, message: wire.Reconcile) -> None:
        self.said.append(message)
        self.net.post(self.name, self.peer, message.SerializeToString())

    def ask(self, method: str, request: Message) -> Message:
        """Ask as the key manager does: one call, one drain."""
        answer = getattr(self.service, method)(request, Call("operator"))
        self.service.commit()
        assert isinstance(answer, Message)
        return answer

    def open(self, ksid: bytes, oid: bytes, **how: int) -> None:
        """Open a stream."""
        how = {"chunk_size": 32, **how}
        self.ask("open_stream", wire.OpenStream(ksid=ksid, oid=oid, peer=self.peer, **how))

    def take(self, oid: bytes, low: int = 0, **how: object) -> wire.Taken:
        """Take all there is."""
        how = {"max_bytes": 1 << 20, **how}
        taken = self.ask("take", wire.Take(oid=oid, low=low, **how))  # type: ignore[arg-type]
        assert isinstance(taken, wire.Taken)
        return taken

    def status(self) -> wire.LinkStatus:
        """Return how the link is."""
        links = self.ask("link_status", wire.LinkStatusAsked())
        assert isinstance(links, wire.Links)
        return links.links[0]


class Net:
    """Two nodes and the post between them, in the running loop."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self.folder, self.rules = folder, rules
        self.fibre = Fibre()
        self.faults: list[BaseException] = []
        self.now = 1_000_000.0
        self.dropping = False
        self.alice = Node(self, "alice", "bob", arbiter=True)
        self.bob = Node(self, "bob", "alice", arbiter=False)

    def clock(self) -> float:
        """Unix time of both nodes."""
        return self.now

    def fatal(self, error: BaseException) -> None:
        """Remember what would have ended a process."""
        self.faults.append(error)

    def post(self, sender: str, to: str, body: bytes) -> None:
        """Deliver soon, unless the network is cut or nobody is there."""
        asyncio.get_running_loop().call_soon(self._deliver, sender, to, body)

    def _deliver(self, sender: str, to: str, body: bytes) -> None:
        node = self.alice if to == "alice" else self.bob
        if node.up and not self.dropping:
            node.service.reconcile(wire.Reconcile.FromString(body), Call(sender))
            node.service.commit()

    async def until(self, true: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until something holds."""
        ends = asyncio.get_running_loop().time() + within
        while not true():
            assert asyncio.get_running_loop().time() < ends, "it never came true"
            await asyncio.sleep(0.002)

    async def pair(self, ksid: bytes, a: bytes, b: bytes, **how: int) -> None:
        """Open a stream at both ends and wait until it is paired."""
        self.alice.open(ksid, a, **how)
        self.bob.open(ksid, b, **how)
        await self.until(lambda: self.alice.take(a).state == wire.OPEN and self.bob.take(b).state == wire.OPEN)


@pytest.fixture
def rules() -> Rules:
    return Rules(block_bits=2048, jobs=2, window_bytes=1024)


@pytest.fixture
async def net(tmp_path: Path, rules: Rules) -> AsyncIterator[Net]:
    world = Net(tmp_path, rules)
    await world.alice.start()
    await world.bob.start()
    yield world
    for node in (world.alice, world.bob):
        if node.up:
            await node.stop()
    assert not world.faults
