"""Telling the key managers next door which streams our applications hold, and hearing it from them.

State drives sending: each association is announced when it is opened, after a restart, and again while a call
waits for a key; a departure is told until it is answered. What is told is idempotent. The two ends agree on one
QoS per KSID: who has told its application first keeps its own; if neither has, the node that sorts first does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from qkdbus.errors import QkdbusError, Refused
from qkdbus.status import Status
from qkdbus.wire.keymanager_pb2 import Announce, Announced, Detach, QoS

from .ports import Asks, Tasks
from .qos import Offer
from .registry import Registry
from .store import Tombstone
from .stream import Stream

PATIENCE = 2.0  # s for one try
PROBE_EVERY = 2.0
PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)  # s between tries; the last for ever
TOLD_FOR = 3600.0  # s after its grace, an untold departure is given up: the peer's announcements will show it
SILENT_AFTER = 1.0  # s that a try may be unanswered before the peer counts as silent


class Neighbour:
    """What is known of one neighbour's key manager."""

    def __init__(self, name: str, asks: Asks, monotonic: Callable[[], float]) -> None:
        self.name, self._asks, self._monotonic = name, asks, monotonic
        self._silent = False
        self._asking: dict[int, float] = {}
        self._next = 0
        self._heard = asyncio.Event()

    def heard(self) -> None:
        """It is there: try again at once what it has not answered."""
        self._silent = False
        self._heard.set()
        self._heard = asyncio.Event()

    @property
    def silent(self) -> bool:
        """Whether it does not answer: the last try ended so, or one is already taking long."""
        asked = min(self._asking.values(), default=None)
        return self._silent or (asked is not None and self._monotonic() - asked > SILENT_AFTER)

    async def ask(self, method: str, request: Announce | Detach) -> Announced | None:
        """Ask once. None when there was no answer; raises Refused when it does not want to hear this."""
        self._next += 1
        number = self._next
        self._asking[number] = self._monotonic()
        try:
            answer = await self._asks.ask(method, request, patience=PATIENCE)
        except Refused:
            self._silent = False
            raise
        except QkdbusError:
            self._silent = True
            return None
        else:
            self._silent = False
            return answer  # type: ignore[no-any-return]
        finally:
            del self._asking[number]

    async def pause(self, attempt: int) -> None:
        """Wait before the next try; shorter when it speaks up meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._heard.wait(), PAUSES[min(attempt, len(PAUSES) - 1)])


class Peers:
    """All neighbours' key managers. `synced(stream)`: both ends hold the same QoS. `attached(stream)`: the other
    application has come."""

    def __init__(
        self,
        me: str,
        asks: Mapping[str, Asks],
        registry: Registry,
        tasks: Tasks,
        synced: Callable[[Stream], None],
        attached: Callable[[Stream], None],
        offer: Callable[[QoS], Offer],
    ) -> None:
        """`offer` tells which QoS is possible at all: a neighbour's is not believed either."""
        self._me, self._registry, self._tasks, self._offer = me, registry, tasks, offer
        self._synced, self._attached = synced, attached
        self._neighbours = {name: Neighbour(name, a, registry.monotonic) for name, a in asks.items()}
        self._telling: set[bytes] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._neighbours

    def silent(self, name: str) -> bool:
        """Whether this neighbour's key manager does not answer."""
        return self._neighbours[name].silent

    def heard(self, name: str) -> None:
        """Take note that this neighbour's key manager has spoken."""
        self._neighbours[name].heard()

    # -- announcing
    def announce(self, stream: Stream) -> None:
        """Tell the peer of a stream, until it answers."""
        if stream.oid not in self._telling:
            self._telling.add(stream.oid)
            self._tasks.spawn(self._announce(stream))

    def probe(self, stream: Stream) -> None:
        """Look whether the peer is still there, but not all the time."""
        if self._registry.monotonic() - stream.announced_at > PROBE_EVERY:
            self.announce(stream)

    async def _announce(self, stream: Stream) -> None:
        neighbour, attempt = self._neighbours[stream.peer], 0
        try:
            while stream.live and not await self._announce_once(neighbour, stream):
                await neighbour.pause(attempt)
                attempt += 1
        finally:
            self._telling.discard(stream.oid)

    async def _announce_once(self, neighbour: Neighbour, stream: Stream) -> bool:
        stream.announced_at = self._registry.monotonic()
        self._registry.commit()
        try:
            answer = await neighbour.ask("announce", _announcement(stream))
        except Refused as error:
            stream.object(Status.NO_QKD_CONNECTION, f"the key manager of {stream.peer} refuses: {error}")
            return False
        if answer is None or not stream.live:
            return False
        return self._understand(stream, answer)

    def _understand(self, stream: Stream, answer: Announced) -> bool:
        """Draw the consequences of an answer; return whether the matter is settled."""
        oid = answer.oid if len(answer.oid) == 16 else b""
        paired_with_other = bool(stream.sid and stream.peer_oid and oid != stream.peer_oid)
        self._set_peer(stream, b"" if paired_with_other else oid, answer.attached and not paired_with_other)
        if answer.status == Status.OPEN_CONNECT_FAILED_KSID_IN_USE:
            if not stream.sid:
                stream.object(answer.status, f"{stream.peer} uses this KSID otherwise, or has just closed it")
        elif answer.status == Status.OPEN_FAILED_QOS and (stream.told or not answer.attached):
            size = answer.qos.key_chunk_size
            stream.object(answer.status, f"{stream.peer} offers this KSID with keys of {size} bytes")
            if not stream.told:
                stream.qos = self._offer(answer.qos).qos  # the counter-offer; nobody has been told another one
        else:
            stream.object(0, "")
            self._agree(stream, answer)
        stream.tell()
        return not stream.objection and stream.synced

    def _agree(self, stream: Stream, answer: Announced) -> None:
        if not stream.told and not stream.synced:
            offer = self._offer(answer.qos)
            if offer.problem:
                stream.object(Status.NO_QKD_CONNECTION, f"{stream.peer} wants what cannot be: {offer.problem}")
                return
            stream.adopt(offer.qos)
        if stream.chunk == answer.qos.key_chunk_size:
            self._sync(stream)

    def _sync(self, stream: Stream) -> None:
        if not stream.synced:
            stream.synced = True
            self._registry.changed[stream] = None
            self._synced(stream)

    def _set_peer(self, stream: Stream, oid: bytes, attached: bool) -> None:
        oid = oid or stream.peer_oid
        if (oid, attached) != (stream.peer_oid, stream.peer_attached):
            stream.peer_oid, stream.peer_attached = oid, attached
            self._registry.changed[stream] = None
            if attached:
                self._attached(stream)

    # -- hearing
    def hear_announce(self, stream: Stream, request: Announce, offer: Offer) -> Announced:
        """Answer the announcement of a stream that an application here holds; `offer` is to the QoS announced."""
        if stream.pair != frozenset((request.source, request.destination)):
            return Announced(status=Status.OPEN_CONNECT_FAILED_KSID_IN_USE)
        if stream.sid and stream.peer_oid and stream.peer_oid != request.oid:
            return Announced(
                status=Status.OPEN_CONNECT_FAILED_KSID_IN_USE, attached=True, qos=stream.qos, oid=stream.oid
            )
        if offer.problem:
            return Announced(status=Status.OPEN_FAILED_QOS, attached=True, qos=stream.qos, oid=stream.oid)
        self._set_peer(stream, request.oid, attached=True)
        if not stream.synced and not stream.told and stream.peer < self._me:
            stream.adopt(offer.qos)
        agreed = stream.chunk == offer.qos.key_chunk_size
        if agreed:
            stream.object(0, "")
            self._sync(stream)
        stream.tell()
        status = Status.OPEN_FAILED_QOS if stream.told and not agreed else Status.SUCCESSFUL
        return Announced(status=status, attached=True, qos=stream.qos, oid=stream.oid)

    def hear_detach(self, stream: Stream, oid: bytes) -> bool:
        """Note that the other application has left; return whether it is news."""
        if stream.peer_oid != oid or not stream.peer_attached:
            return False
        self._set_peer(stream, oid, attached=False)
        stream.tell()
        return True

    # -- leaving
    def depart(self, leaver: Stream | Tombstone, told: Callable[[], None]) -> None:
        """Tell the peer that our application has left, until it answers; then call `told`."""
        if leaver.peer in self._neighbours:
            self._tasks.spawn(self._depart(leaver, told))
        else:
            told()

    async def _depart(self, leaver: Stream | Tombstone, told: Callable[[], None]) -> None:
        neighbour, attempt = self._neighbours[leaver.peer], 0
        give_up = self._registry.monotonic() + TOLD_FOR
        self._registry.commit()
        message = Detach(ksid=leaver.ksid, oid=leaver.oid)
        while self._registry.monotonic() < give_up:
            try:
                if await neighbour.ask("detach", message) is not None:
                    break
            except Refused:
                break
            await neighbour.pause(attempt)
            attempt += 1
        told()


def _announcement(stream: Stream) -> Announce:
    return Announce(
        ksid=stream.ksid,
        source=stream.source,
        destination=stream.destination,
        qos=stream.qos,
        attached=True,
        oid=stream.oid,
    )
