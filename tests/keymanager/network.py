"""Two key managers next door to each other, each with its applications."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.errors import Silent
from qkdbus.network.model import Buffers
from qkdbus.wire import keymanager_pb2 as km
from qkdbus_keymanager.build import World as Surroundings
from qkdbus_keymanager.build import assemble
from qkdbus_keymanager.service import StoredKeyManager
from qkdbus_keymanager.store import Store

from .fake_keysync import FakeKeySync, Link, clock, now


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
