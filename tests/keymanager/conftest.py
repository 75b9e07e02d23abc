"""Two key managers next door to each other, over one small keysync, in a loop whose time jumps."""

from __future__ import annotations

import asyncio
import inspect
import os
import selectors
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.contracts.keysync import ALARM, AVAILABLE, CLEAR
from qkdbus.errors import Refused, Silent
from qkdbus.network.model import Buffers
from qkdbus.wire import keymanager_pb2 as km
from qkdbus.wire import keysync_pb2 as ks
from qkdbus.wire.head_pb2 import Event
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_keymanager.build import World as Surroundings
from qkdbus_keymanager.build import assemble
from qkdbus_keymanager.service import StoredKeyManager
from qkdbus_keymanager.store import Store

EPOCH = 1_700_000_000.0


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: time jumps to when the next thing is due."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits, for ever")
        if not ready and timeout:
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    """Let all tests of this folder run where time jumps."""
    return {"jumping": _Loop}


def now() -> float:
    return asyncio.get_running_loop().time()


def clock() -> float:
    return EPOCH + now()


@dataclass
class Chunk:
    bits: bytes
    available_at: float


@dataclass
class Open:
    """One end's `open` row, with its chunks."""

    ksid: bytes
    peer: str
    chunk_size: int
    ttl: int
    sid: bytes = b""
    chunks: dict[int, Chunk] = field(default_factory=dict)
    floor: int = 0
    wiped: set[int] = field(default_factory=set)
    draining: bool = False


@dataclass
class Pair:
    """A stream that both ends have opened."""

    sid: ks.Sid
    ends: dict[str, bytes]
    next_index: int = 0


class Link:
    """What the two keysyncs of a link agree on."""

    def __init__(self) -> None:
        self.pairs: dict[bytes, Pair] = {}
        self.sides: dict[str, FakeKeySync] = {}
        self.seq = 0
        self.record = BlockRecord(
            block_id=b"B" * 16, created=3000, sifted_out=2000, disclosed=100, kept=900, qber=0.01, duration=0.5
        )

    def match(self, ksid: bytes) -> None:
        """Pair the open rows of a KSID."""
        rows = {n: (oid, o) for n, s in self.sides.items() for oid, o in s.opens.items() if o.ksid == ksid}
        if len(rows) < 2 or any(o.sid for _, o in rows.values()):
            return
        if len({o.chunk_size for _, o in rows.values()}) > 1:
            return
        self.seq += 1
        sid = ks.Sid(epoch=ks.Epoch(n=1, r=7), seq=self.seq)
        for _, row in rows.values():
            row.sid = sid.SerializeToString()
        self.pairs[ksid] = Pair(sid, {name: oid for name, (oid, _) in rows.items()})

    def form(self, ksid: bytes, count: int, *, silently: bool = False) -> list[bytes]:
        """Form `count` chunks at both ends; return their bits."""
        pair, made = self.pairs[ksid], []
        rows = [self.sides[name].opens.get(oid) for name, oid in pair.ends.items()]
        size = next(row.chunk_size for row in rows if row)
        for index in range(pair.next_index, pair.next_index + count):
            bits = os.urandom(size)
            made.append(bits)
            for row in rows:
                if row is not None:
                    row.chunks[index] = Chunk(bits, clock())
        pair.next_index += count
        if not silently:
            for name, oid in pair.ends.items():
                self.sides[name].publish(AVAILABLE, oid=oid.hex())
        return made

    def lose(self) -> None:
        """Begin a new epoch: every paired stream is lost."""
        self.pairs.clear()
        for side in self.sides.values():
            side.opens = {oid: row for oid, row in side.opens.items() if not row.sid}


class FakeKeySync:
    """One end's keysync: the contract, in memory."""

    def __init__(self, link: Link, name: str) -> None:
        self.link, self.name = link, name
        link.sides[name] = self
        self.opens: dict[bytes, Open] = {}
        self.silent = False
        self.deaf_to: set[str] = set()  # methods whose answers are lost
        self.refuse = ""
        self.state, self.alarm = "up", ""
        self.takes: list[ks.Take] = []
        self.asked: list[str] = []
        self.site: Site | None = None

    def publish(self, event: str, **fields: str) -> None:
        if self.site is not None and self.site.manager is not None:
            self.site.manager.heard(Event(name=event, fields=fields))

    def alarmed(self, reason: str) -> None:
        self.state, self.alarm = "alarm", reason
        self.publish(ALARM, reason=reason)

    def cleared(self) -> None:
        self.state, self.alarm = "up", ""
        self.publish(CLEAR)

    async def ask(self, method: str, request: Message, *, patience: float | None = None) -> Message:
        await asyncio.sleep(0.001)
        if self.silent:
            await asyncio.sleep(patience or 5)
            raise Silent(method)
        self.asked.append(method)
        answer: Message = getattr(self, method)(request)
        if method in self.deaf_to:
            await asyncio.sleep(patience or 5)
            raise Silent(method)
        await asyncio.sleep(0.001)
        return type(answer).FromString(answer.SerializeToString())

    def open_stream(self, request: ks.OpenStream) -> ks.StreamOpened:
        if self.refuse:
            raise Refused(self.refuse)
        if request.oid not in self.opens:
            self.opens[request.oid] = Open(request.ksid, request.peer, request.chunk_size, request.ttl)
            self.link.match(request.ksid)
        return ks.StreamOpened()

    def take(self, request: ks.Take) -> ks.Taken:
        self.takes.append(request)
        row = self.opens.get(request.oid)
        if row is None:
            return ks.Taken(state=ks.GONE)
        if not row.sid:
            return ks.Taken(state=ks.WAITING)
        done = set(range(request.low))
        for first, count in zip(request.done[::2], request.done[1::2], strict=True):
            done |= set(range(first, first + count))
        for index in done & set(row.chunks):
            del row.chunks[index]
        row.wiped |= done
        self._expire(row)
        pair = self.link.pairs[row.ksid]
        taken = ks.Taken(sid=pair.sid, floor=row.floor, next_index=pair.next_index)
        taken.state = ks.DRAINING if row.draining else ks.OPEN
        left = request.max_bytes // row.chunk_size
        for index in sorted(i for i in row.chunks if i >= request.after)[:left]:
            self._append(taken, index, row.chunks[index])
        return taken

    def _append(self, taken: ks.Taken, index: int, chunk: Chunk) -> None:
        last = taken.runs[-1] if taken.runs else None
        if last is not None and last.first + last.count == index and last.available_at == chunk.available_at:
            last.count += 1
            last.bits += chunk.bits
        else:
            taken.runs.append(
                ks.ChunkRun(
                    first=index, count=1, bits=chunk.bits, available_at=chunk.available_at, record=self.link.record
                )
            )

    def _expire(self, row: Open) -> None:
        if row.ttl:
            for index in [i for i, c in row.chunks.items() if c.available_at + row.ttl <= clock()]:
                del row.chunks[index]
                row.floor = max(row.floor, index + 1)

    def close_stream(self, request: ks.CloseStream) -> ks.StreamClosed:
        row = self.opens.pop(request.oid, None)
        if row is not None and row.sid:
            pair = self.link.pairs[row.ksid]
            del pair.ends[self.name]
            for name, oid in pair.ends.items():
                self.link.sides[name].opens[oid].draining = True
            if not pair.ends:
                del self.link.pairs[row.ksid]
                self.link.match(row.ksid)
        return ks.StreamClosed()

    def list_opens(self, request: ks.ListOpens) -> ks.Opens:
        return ks.Opens(oids=list(self.opens))

    def link_status(self, request: ks.LinkStatusAsked) -> ks.Links:
        others = [name for name in self.link.sides if name != self.name]
        return ks.Links(links=[ks.LinkStatus(peer=name, state=self.state, alarm=self.alarm) for name in others])


class Post:
    """The way from one key manager to the other."""

    def __init__(self, network: Network, me: str, to: str) -> None:
        self.network, self.me, self.to = network, me, to

    async def ask(self, method: str, request: Message, *, patience: float | None = None) -> Any:
        await asyncio.sleep(0.002)
        self.network.told.append((self.me, method, request))
        target = self.network.sites[self.to].manager
        if self.network.cut or target is None:
            await asyncio.sleep(patience or 2)
            raise Silent(method)
        answer = getattr(target.next_door, method)(request, Call(self.me))
        target.commit()
        if self.network.answers_lost:
            await asyncio.sleep(patience or 2)
            raise Silent(method)
        await asyncio.sleep(0.002)
        return answer


class Site:
    """A node: its key manager, which may die and come back, over a keysync that does not."""

    def __init__(self, network: Network, name: str, link: Link, folder: Path) -> None:
        self.network, self.name = network, name
        self.keysync = FakeKeySync(link, name)
        self.keysync.site = self
        self.file = folder / f"{name}.sqlite"
        self.manager: StoredKeyManager | None = None
        self.boot_id = "boot-1"
        self.buffers = Buffers(max_chunk_bytes=65_536, close_grace_s=30)
        self.strict_status = False
        self.durability = "process"
        self.failures: list[BaseException] = []

    async def start(self) -> None:
        other = next(name for name in ("Alice", "Bob") if name != self.name)
        surroundings = Surroundings(
            me=self.name,
            nodes=("Alice", "Bob", "Charlie"),
            keysync=self.keysync,
            neighbours={other: Post(self.network, self.name, other)},
            store=Store(self.file, self.durability),  # type: ignore[arg-type]
            boot_id=self.boot_id,
            clock=clock,
            monotonic=now,
            fatal=self.failures.append,
            buffers=self.buffers,
            strict_status=self.strict_status,
        )
        self.manager = assemble(surroundings)
        await self.manager.start()

    def kill(self) -> None:
        """Die as by kill -9: nothing more is written."""
        assert self.manager is not None
        self.manager._tasks.cancel()
        self.manager.registry.store.close()
        self.manager = None

    async def restart(self) -> None:
        self.kill()
        await asyncio.sleep(0)
        await self.start()

    def app(self, user: str) -> App:
        return App(self, user)


class App:
    """An application: numbers its calls, one at a time unless told otherwise."""

    def __init__(self, site: Site, user: str) -> None:
        self.site, self.user = site, user
        self.caller = os.urandom(16)
        self.number = 0

    async def call(self, method: str, request: Message, number: int = 0, settled: int | None = None) -> Any:
        """Call as the bus does: methods, then commit, then the answer."""
        if not number:
            self.number += 1
            number = self.number
        manager = self.site.manager
        assert manager is not None
        who = Call(self.user, self.caller, number, number if settled is None else settled)
        answer = getattr(manager, method)(request, who)
        if inspect.isawaitable(answer):
            answer = await answer
        manager.commit()
        return type(answer).FromString(answer.SerializeToString())

    async def open(
        self,
        ksid: bytes = b"",
        source: str = "app1@Alice",
        destination: str = "app2@Bob",
        number: int = 0,
        **qos: Any,
    ) -> km.Opened:
        request = km.OpenConnect(source=source, destination=destination, qos=km.QoS(**qos), ksid=ksid)
        answer: km.Opened = await self.call("open_connect", request, number)
        return answer

    async def get(
        self, ksid: bytes, index: int | None = None, size: int = 0, number: int = 0, settled: int | None = None
    ) -> km.Key:
        request = km.GetKey(ksid=ksid, index=index, metadata_size=size)
        answer: km.Key = await self.call("get_key", request, number, settled)
        return answer

    async def many(self, ksid: bytes, count: int, number: int = 0, settled: int | None = None) -> km.Keys:
        answer: km.Keys = await self.call("get_keys", km.GetKeys(ksid=ksid, count=count), number, settled)
        return answer

    async def close(self, ksid: bytes) -> km.Closed:
        answer: km.Closed = await self.call("close", km.Close(ksid=ksid))
        return answer

    async def streams(self) -> list[km.StreamInfo]:
        answer: km.Streams = await self.call("list_streams", km.ListStreams())
        return list(answer.streams)


@dataclass
class Network:
    """Alice and Bob, their link, and an application at each."""

    folder: Path
    cut: bool = False
    answers_lost: bool = False
    told: list[tuple[str, str, Message]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = Link()
        self.sites = {name: Site(self, name, self.link, self.folder) for name in ("Alice", "Bob")}
        self.alice, self.bob = self.sites["Alice"], self.sites["Bob"]
        self.app1, self.app2 = self.alice.app("app1"), self.bob.app("app2")

    async def start(self, sites: Iterable[Site] = ()) -> None:
        for site in sites or self.sites.values():
            await site.start()
        await asyncio.sleep(0.1)

    async def connect(self, **qos: Any) -> bytes:
        """Open a stream at both ends; return its KSID."""
        opened = await self.app1.open(**qos)
        assert opened.status == 1, opened.reason
        second = await self.app2.open(opened.ksid)
        assert second.status == 0, second.reason
        await asyncio.sleep(0.1)
        ksid: bytes = opened.ksid
        return ksid

    def form(self, ksid: bytes, count: int, *, silently: bool = False) -> list[bytes]:
        return self.link.form(ksid, count, silently=silently)


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Network]:
    """A network of which nothing has been started."""
    network = Network(tmp_path)
    yield network
    for site in network.sites.values():
        if site.manager is not None:
            site.kill()
        assert not site.failures, site.failures
    await asyncio.sleep(0)


@pytest.fixture
async def network(idle: Network) -> Network:
    """A network that runs."""
    await idle.start()
    return idle


@pytest.fixture
def new_ksid() -> bytes:
    return uuid.uuid4().bytes
