"""The key manager of one node: ETSI GS QKD 004 for its applications, kept in step with the node next door.

A plain object: methods take (request, call) and return the answer, or an awaitable of it when they have to wait.
State changes gather in memory; `commit`, which the bus calls before answers go out, makes them durable at once.
"""

from __future__ import annotations

import asyncio
import logging

from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.contracts.keysync import ALARM, AVAILABLE, CLEAR
from qkdbus.status import Status
from qkdbus.wire.head_pb2 import Event
from qkdbus.wire.keymanager_pb2 import Close, Closed, ListStreams, OpenConnect, Opened, Streams

from .absent import LOST, Absent, check_ksid, check_user
from .feed import Feed
from .getting import Getting
from .leaving import Leaving
from .links import Links
from .listing import list_streams
from .nextdoor import NextDoor
from .notes import notes
from .opening import Opening
from .peers import Peers
from .ports import Tasks
from .registry import Registry
from .store import Kind
from .stream import State, Stream
from .waiting import Waiting

BEAT = 0.25  # s between rounds; what is slow is done every fourth


class StoredKeyManager:
    """Keeps `contracts.keymanager.KeyManager`; `next_door` keeps `KeyManagerPeer`. Wired by `build`."""

    def __init__(self, registry: Registry, absent: Absent, tasks: Tasks, log: logging.Logger) -> None:
        self.registry, self._absent, self._tasks, self._log = registry, absent, tasks, log
        self._reconciled = False

    def wire(
        self,
        opening: Opening,
        getting: Getting,
        waiting: Waiting,
        leaving: Leaving,
        feed: Feed,
        peers: Peers,
        links: Links,
        next_door: NextDoor,
    ) -> None:
        """Take the parts, some of which call back here."""
        self._opening, self._getting, self._waiting, self._leaving = opening, getting, waiting, leaving
        self._feed, self._peers, self._links, self.next_door = feed, peers, links, next_door
        self.get_key, self.get_keys = getting.get_key, getting.get_keys

    @property
    def peers(self) -> Peers:
        """The key managers next door."""
        return self._peers

    # -- for applications
    async def open_connect(self, request: OpenConnect, call: Call) -> Opened:
        """Reserve a key stream between two applications."""
        self.registry.callers.hear(call)
        return await self._opening.open_connect(request, call)

    def close(self, request: Close, call: Call) -> Closed:
        """End the caller's side of a stream; a second time is no mistake (ruling C11)."""
        check_ksid(request.ksid)
        self.registry.callers.hear(call)
        stream = self.registry.streams.get(request.ksid)
        stone = self.registry.tombstones.get(request.ksid)
        if stream is not None:
            check_user(call.user, stream.app)
            if stream.live:
                self._leaving.close(stream)
                self._waiting.end(stream, self._absent.unknown, "closed meanwhile")
            return Closed()
        if stone is not None:
            check_user(call.user, stone.app)
            self.registry.lost.discard(request.ksid)
            return Closed()
        return Closed(status=self._absent.unknown, reason="no such stream at this node")

    def list_streams(self, request: ListStreams, call: Call) -> Streams:
        """Return the streams that the caller may use; everybody's for the operator."""
        self.registry.callers.hear(call)
        return list_streams(self.registry, call.user)

    def notes(self, method: str, request: Message, answer: Message | None) -> dict[str, object]:
        """Return what is told of a call that somebody follows."""
        return notes(self.registry.streams, request, answer)

    def commit(self) -> None:
        """Make everything durable that has been answered since the last time."""
        self.registry.commit()

    # -- what happens to streams
    def synced(self, stream: Stream) -> None:
        """Both key managers hold the same QoS: keysync may open it."""
        if stream.state == State.NEW and not stream.reserving:
            self._opening.reserve(stream)

    def arrived(self, stream: Stream) -> None:
        """Something came from keysync: keys, or news of the stream's end."""
        if stream.waiters:
            self._waiting.retry(stream)
        self._finish(stream)

    def gone(self, stream: Stream) -> None:
        """Keysync has lost the stream: who waits is told, else who asks next (reference "agreement" 5.4)."""
        self._leaving.gone(stream)
        if self._waiting.end(stream, Status.NO_QKD_CONNECTION, LOST):
            self.registry.lost.discard(stream.ksid)

    def _finish(self, stream: Stream) -> None:
        """Close a stream that the other end has left, when all is read or the leftovers' time is over."""
        since = stream.draining_since
        if not since or not stream.live:
            return
        empty = stream.caught_up and stream.done.low >= stream.next_index and not stream.held
        if empty or self.registry.clock() - since >= stream.lifetime:
            self._leaving.close(stream, Kind.DRAINED)
            self._waiting.end(stream, Status.GET_KEY_FAILED_INSUFFICIENT_KEY, "the other application has closed")

    def heard(self, event: Event) -> None:
        """Hear an event of this node's keysync."""
        if event.name == AVAILABLE:
            stream = self.registry.by_oid.get(_bytes(event.fields.get("oid", "")))
            if stream is not None:
                self._feed.want(stream)
        elif event.name in (ALARM, CLEAR):
            self._links.stale()

    # -- life
    async def start(self) -> None:
        """Go on from what the store says."""
        for stream in list(self.registry.streams.values()):
            if stream.state == State.CLOSING:
                self._leaving.resume(stream)
            elif not self.registry.trusted:  # older than what was delivered, perhaps
                self._leaving.gone(stream)
            else:
                self._resume(stream)
        for stone in list(self.registry.tombstones.values()):
            if not stone.told:
                self._leaving.depart_again(stone)
        self._tasks.spawn(self._reconcile())
        self._tasks.spawn(self._beat())

    def _resume(self, stream: Stream) -> None:
        self._peers.announce(stream)
        if stream.state == State.OPEN:
            self._feed.want(stream)
        elif stream.synced:
            self._opening.reserve(stream)

    async def stop(self) -> None:
        """End in order: what is durable can be trusted, whatever happens to the machine."""
        self._tasks.cancel()
        for stream in self.registry.streams.values():
            stream.buffer.wipe()
        self.registry.commit()
        self.registry.store.end()

    def waiting_for(self) -> str:
        """Return what keeps it from being ready."""
        if self.registry.broken is not None:
            return "its state file cannot be written"
        return "" if self._reconciled else "keysync of this node does not answer"

    async def _reconcile(self) -> None:
        await self._leaving.reconcile()
        self._reconciled = True

    async def _beat(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(BEAT)
            count += 1
            live = [stream for stream in self.registry.streams.values() if stream.state == State.OPEN]
            self._feed.round(live)
            if count % 4 == 0:
                self._housekeeping(live)

    def _housekeeping(self, live: list[Stream]) -> None:
        now = self.registry.clock()
        for stream in live:
            if stream.buffer.runs and stream.oldest() <= now:
                self._getting.expire(stream)
            self._finish(stream)
        self.registry.callers.tidy()
        self._leaving.sweep()
        self.registry.commit()


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
