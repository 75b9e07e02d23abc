"""The scene of the key manager: an application at each end of a link, over keysyncs that are stand-ins."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..status import Status
from ..wire import keymanager_pb2 as km
from . import waiting
from .check import Breach, hold
from .line import Answer, Line
from .networks import ALICE, BOB
from .stage import Stage
from .standins import keysync
from .standins.keysync import KeySync, Link
from .waiting import until

BOTH = (ALICE, BOB)
USERS = {ALICE: "app1", BOB: "app2"}
LONG, SHORT = 20_000, 300  # ms that calls on a stream wait: where a key must come, and where none will
SEEN = 16  # octets: so many are not in a log by chance
CHUNK = 32


@dataclass
class Stream:
    """A stream between app1 at Alice and app2 at Bob. `delivered`: what each end has had."""

    ksid: bytes
    delivered: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in BOTH})
    made: list[bytes] = field(default_factory=list, repr=False)


class App:
    """An application at one node: it comes in by the north door, with its own key."""

    def __init__(self, scene: Scene, name: str, user: str, caller: bytes = b"") -> None:
        node = scene.stage.ground.nodes[name]
        at = f"tcp://{node.settings.host}:{node.settings.ports.north}"
        self._scene, self.name, self.user = scene, name, user
        self.line = Line(
            scene.stage.context, at, pair=node.apps[user], server_key=node.server_key, caller=caller or os.urandom(16)
        )

    async def ask_open(self, ksid: bytes = b"", number: int | None = None, **said: Any) -> Answer:
        """Call open_connect; `said`: source, destination, and the fields of the QoS."""
        source, destination = said.pop("source", "app1@Alice"), said.pop("destination", "app2@Bob")
        request = km.OpenConnect(source=source, destination=destination, qos=km.QoS(**said), ksid=ksid)
        return await self.line.ask("open_connect", request, number=number)

    async def open(self, ksid: bytes = b"", number: int | None = None, **said: Any) -> km.Opened:
        """Open a stream, or attach to one."""
        return (await self.ask_open(ksid, number, **said)).read(km.Opened)

    async def get(self, stream: Stream, index: int | None = None, size: int = 0) -> km.Key:
        """Ask for a key. Breach when it is another than keysync has for that index, or was delivered before."""
        request = km.GetKey(ksid=stream.ksid, index=index, metadata_size=size)
        key = (await self.line.ask("get_key", request)).read(km.Key)
        if key.status == Status.SUCCESSFUL:
            self._scene.note(stream, self.name, key.index, key.key)
        return key

    async def many(self, stream: Stream, count: int) -> km.Keys:
        """Ask for many keys at once, and note each."""
        keys = (await self.line.ask("get_keys", km.GetKeys(ksid=stream.ksid, count=count))).read(km.Keys)
        if keys.status == Status.SUCCESSFUL:
            size = len(keys.keys) // keys.count if keys.count else 0
            hold(keys.count and size * keys.count == len(keys.keys), "count x key_chunk_size octets", "others")
            for place in range(keys.count):
                key = keys.keys[place * size : (place + 1) * size]
                self._scene.note(stream, self.name, keys.index + place, key)
        return keys

    async def fetch(self, stream: Stream) -> int:
        """Get the next key, asking until there is one; return its index."""
        ends = time.monotonic() + waiting.WITHIN
        while True:
            key = await self.get(stream)
            if key.status == Status.SUCCESSFUL:
                return key.index
            if time.monotonic() > ends:
                raise Breach("a key that keysync has", f"status {key.status} ({key.reason}) for {waiting.WITHIN:g} s")

    async def repeatable(self, stream: Stream, number: int) -> tuple[int, bytes]:
        """Call get_key under a number that may be said again, nothing settled; return index and bits."""
        request = km.GetKey(ksid=stream.ksid)
        for _ in range(60):
            key = (await self.line.ask("get_key", request, number=number, settled=number)).read(km.Key)
            if key.status == Status.SUCCESSFUL:
                hold(key.key == stream.made[key.index], f"the bits of index {key.index}", "others")
                return key.index, key.key
        raise Breach("a key", f"status {key.status} ({key.reason})")

    async def close(self, stream: Stream) -> int:
        """Close the stream; return the status."""
        return (await self.line.ask("close", km.Close(ksid=stream.ksid))).read(km.Closed).status

    async def streams(self, settled: int | None = None) -> list[km.StreamInfo]:
        """List the streams; `settled`: every call below this number has been answered."""
        answer = await self.line.ask("list_streams", km.ListStreams(), settled=settled)
        return list(answer.read(km.Streams).streams)


class Scene:
    """Two key managers, their keysyncs (a `Link`, in memory), and an application at each."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.link = Link(time.time)
        self.sides: dict[str, KeySync] = {}
        self.apps: dict[str, App] = {}
        self._more: list[App] = []
        self._streams: list[Stream] = []

    async def open(self) -> None:
        """Put the keysyncs up; the applications come."""
        for name in BOTH:
            self.sides[name] = keysync.serve(self.stage.room(name, "keysync"), self.link)
            self.apps[name] = App(self, name, USERS[name])

    async def settle(self) -> None:
        """End what the check before has begun."""
        for side in self.sides.values():
            side.refuse = ""
            if side.state != "up":
                side.cleared()
        for app in self._more:
            app.line.close()
        self._more.clear()
        self._streams.clear()

    async def close(self) -> None:
        """Hang up."""
        for app in [*self.apps.values(), *self._more]:
            app.line.close()

    @property
    def app1(self) -> App:
        """The application at Alice."""
        return self.apps[ALICE]

    @property
    def app2(self) -> App:
        """The application at Bob."""
        return self.apps[BOB]

    def app(self, name: str, user: str, caller: bytes = b"") -> App:
        """Return another application, or another caller of one."""
        app = App(self, name, user, caller)
        self._more.append(app)
        return app

    async def connect(self, **qos: Any) -> Stream:
        """Open a stream at both ends, and wait until keysync has it at both."""
        first = await self.app1.open(**{"timeout": LONG, **qos})
        came = f"status {first.status} ({first.reason})"
        hold(first.status in (0, 1) and len(first.ksid) == 16, "a stream, and its KSID of 16 octets", came)
        second = await self.app2.open(first.ksid)
        hold(second.status in (0, 1), "the stream at the other end", f"status {second.status} ({second.reason})")
        return await self.paired(first.ksid)

    async def paired(self, ksid: bytes) -> Stream:
        """Wait until both key managers have opened a stream at their keysync."""
        await until(lambda: ksid in self.link.pairs, "`open_stream` at the keysync of both nodes")
        stream = Stream(ksid)
        self._streams.append(stream)
        return stream

    def form(self, stream: Stream, count: int, *, silently: bool = False) -> None:
        """Have both keysyncs agree on more chunks."""
        stream.made += self.link.form(stream.ksid, count, silently=silently)
        self.stage.seen.update(key for key in stream.made if len(key) >= SEEN)

    def note(self, stream: Stream, name: str, index: int, key: bytes) -> None:
        """Note a key that was delivered to a new call. Breach when it is a wrong one, or comes again."""
        hold(index < len(stream.made), "an index that keysync has agreed on", f"index {index} at {name}")
        hold(key == stream.made[index], f"the bits of index {index}", f"other bits at {name}")
        hold(index not in stream.delivered[name], "each index once at one end", f"index {index} again at {name}")
        stream.delivered[name].add(index)

    def oid(self, stream: Stream, name: str) -> bytes:
        """Return the name by which an end's key manager opened a stream at keysync."""
        return self.link.pairs[stream.ksid].ends[name]

    async def acknowledged(self, stream: Stream, name: str, indices: set[int]) -> None:
        """Wait until an end's key manager has acknowledged these indices to keysync."""
        row = self.sides[name].opens[self.oid(stream, name)]
        await until(lambda: indices <= row.wiped, f"`take` acknowledges {sorted(indices)} at {name}")

    async def lose(self) -> None:
        """Have the keysyncs begin a new epoch: all streams are lost, and both key managers hear that."""
        for pair in self.link.lose():
            self.link.tell(pair)

    async def is_closed_at_keysync(self, name: str, oid: bytes) -> None:
        """Wait until keysync has been told to close a stream."""
        await until(partial(self._no_such_open, name, oid), f"`close_stream` at the keysync of {name}")

    def _no_such_open(self, name: str, oid: bytes) -> bool:
        return oid not in self.sides[name].opens
