"""The end of a stream: closed by its application, drained, lost, or never come about (reference "agreement" 5.4).

A close is durable first, then keysync is told until it answers, then a tombstone takes the stream's place; the
peer's key manager is told meanwhile. Tombstones go when their grace is over and the peer has heard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from qkdbus.errors import QkdbusError, Refused
from qkdbus.wire.keysync_pb2 import CloseStream, ListOpens

from .peers import Peers
from .ports import Asks, Publish, Tasks
from .registry import Registry
from .store import Kind, Tombstone
from .stream import State, Stream

RETRY = 1.0  # s
PATIENCE = 3.0


class Leaving:
    """Ends streams, and looks after those that were."""

    def __init__(
        self,
        registry: Registry,
        keysync: Asks,
        peers: Peers,
        tasks: Tasks,
        grace: float,
        publish: Publish,
        log: logging.Logger,
    ) -> None:
        self._registry, self._keysync, self._peers, self._tasks = registry, keysync, peers, tasks
        self._grace, self._publish, self._log = grace, publish, log
        self._departed: set[bytes] = set()

    def close(self, stream: Stream, kind: Kind = Kind.CLOSED) -> None:
        """End a stream at this end: no more keys from now on."""
        stream.state = State.CLOSING
        stream.wipe(self._registry.monotonic())
        stream.tell()
        self._registry.changed[stream] = None
        self._registry.by_opener.pop(stream.opened_by, None)
        self.resume(stream, kind)

    def resume(self, stream: Stream, kind: Kind = Kind.CLOSED) -> None:
        """Carry on closing what is marked as being closed."""
        self._tasks.spawn(self._close(stream, kind))
        self._peers.depart(stream, lambda: self._told(stream.oid, stream.ksid))

    async def _close(self, stream: Stream, kind: Kind) -> None:
        self._registry.commit()
        while stream.reserving:  # an opening under way must not come after the close
            await asyncio.sleep(0.05)
        await ask_until_answered(self._keysync, "close_stream", CloseStream(oid=stream.oid), self._log)
        self._bury(stream, kind, self._registry.clock() + self._grace)
        self._log.info("stream_closed", extra={"oid": stream.oid.hex(), "kind": kind.name.lower()})
        self._publish("stream_closed", oid=stream.oid.hex(), kind=kind.name.lower())

    def gone(self, stream: Stream) -> None:
        """Keysync does not know the stream any more: nothing is left to close, and the KSID is free at once."""
        stream.state = State.CLOSING
        stream.wipe(self._registry.monotonic())
        stream.tell()
        self._bury(stream, Kind.GONE, self._registry.clock())
        self._peers.depart(stream, lambda: self._told(stream.oid, stream.ksid))
        self._log.warning("stream_gone", extra={"oid": stream.oid.hex()})
        self._publish("stream_gone", oid=stream.oid.hex())

    def withdraw(self, stream: Stream) -> None:
        """Take back a stream that the other end did not want: as if it had never been, and the KSID is free."""
        stream.state = State.CLOSING
        stream.wipe(self._registry.monotonic())
        stream.tell()
        self._registry.remove(stream)
        self._peers.depart(stream, lambda: None)

    def _bury(self, stream: Stream, kind: Kind, until: float) -> None:
        told = stream.oid in self._departed
        self._departed.discard(stream.oid)
        self._registry.bury(stream, kind, until, told)

    def _told(self, oid: bytes, ksid: bytes) -> None:
        stone = self._registry.tombstones.get(ksid)
        if stone is not None and stone.oid == oid:
            stone.told = True
            self._registry.store.keep(stone)
        elif oid in self._registry.by_oid:
            self._departed.add(oid)

    def depart_again(self, stone: Tombstone) -> None:
        """After a restart: tell the peer of a departure that it may not have heard of."""
        self._peers.depart(stone, lambda: self._told(stone.oid, stone.ksid))

    def sweep(self) -> None:
        """Take away the tombstones whose time is over. Called by a slow timer."""
        now = self._registry.clock()
        for stone in list(self._registry.tombstones.values()):
            # one of a lost stream stays a little: who asks for it is told once what became of it
            until = stone.until + (self._grace if stone.kind == Kind.GONE else 0.0)
            if stone.told and until <= now:
                self._registry.forget(stone.ksid)

    async def reconcile(self) -> None:
        """Close at keysync whatever we do not hold: what an earlier store of ours had opened."""
        opens = await ask_until_answered(self._keysync, "list_opens", ListOpens(), self._log)
        for oid in opens.oids:
            if oid not in self._registry.by_oid:
                await ask_until_answered(self._keysync, "close_stream", CloseStream(oid=oid), self._log)
                self._log.info("orphan_closed", extra={"oid": oid.hex()})


async def ask_until_answered(
    asks: Asks, method: str, request: Message, log: logging.Logger, wanted: Callable[[], bool] = lambda: True
) -> Any:
    """Ask again and again, while it is wanted. Raises Refused when the layer will not have it."""
    while wanted():
        try:
            return await asks.ask(method, request, patience=PATIENCE)
        except Refused:
            raise
        except QkdbusError as error:
            log.warning("not_answered", extra={"method": method, "kind": type(error).__name__})
            await asyncio.sleep(RETRY)
    return None
