"""OPEN_CONNECT (ETSI GS QKD 004 clause 6.1; rulings C1, C6, C7, C8, C12, C13)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Exhausted, Refused, Unauthorised
from qkdbus.keys import KSID_NULL
from qkdbus.network.model import Buffers
from qkdbus.status import Status
from qkdbus.wire.keymanager_pb2 import OpenConnect, Opened
from qkdbus.wire.keysync_pb2 import OpenStream

from .leaving import Leaving, ask_until_answered
from .links import Links
from .peers import Peers
from .ports import Asks, Publish, Tasks
from .qos import negotiate
from .registry import Registry
from .stream import EVERYONE, State, Stream
from .uri import Uri, parse
from .waiting import bounded

PEER_PATIENCE = 1.0  # s that the key managers get to agree, however short the stream's Timeout
TAKEN_PATIENCE = 2.0  # s during which the other end may still be closing the KSID's last stream
MOST_STREAMS = 4096  # of one application, with those closed a moment ago
DOWN_LOOKS, DOWN_PAUSE = 30, 0.1  # looks, and s between them, at a link whose ends have not met yet


class Opening:
    """Opens streams for the applications of one node."""

    def __init__(
        self,
        me: str,
        nodes: Collection[str],
        buffers: Buffers,
        registry: Registry,
        peers: Peers,
        links: Links,
        leaving: Leaving,
        keysync: Asks,
        tasks: Tasks,
        token: Callable[[int], bytes],
        ksid: Callable[[], bytes],
        opened: Callable[[Stream], None],
        publish: Publish,
        log: logging.Logger,
    ) -> None:
        self._me, self._nodes, self._buffers = me, nodes, buffers
        self._registry, self._peers, self._links, self._leaving = registry, peers, links, leaving
        self._keysync, self._tasks = keysync, tasks
        self._token, self._ksid, self._opened = token, ksid, opened
        self._publish, self._log = publish, log

    async def open_connect(self, request: OpenConnect, call: Call) -> Opened:
        """Reserve a KSID at both ends. Refused when malformed, Unauthorised when not the caller's to open."""
        ends = parse(request.source, "source"), parse(request.destination, "destination")
        ksid = _read_ksid(request.ksid)
        here, there = self._sides(*ends)
        if call.user not in (here.app, EVERYONE, OPERATOR):
            raise Unauthorised(f"{call.user!r} may not open a stream of {here}")
        opener = b"%b/%b/%d" % (call.user.encode(), call.caller, call.number) if call.caller else b""
        stream = self._registry.by_opener.get(opener)
        if stream is None:
            made = await self._make(request, ksid, ends, here, there, opener)
            if isinstance(made, Opened):
                return made
            stream = made
        return await self._connect(stream, predefined=bool(ksid), patience=call.patience)

    def _sides(self, source: Uri, destination: Uri) -> tuple[Uri, Uri]:
        if source.node == self._me:
            return source, destination
        if destination.node == self._me:
            return destination, source
        raise Refused(f"neither source nor destination is an application at {self._me}")

    async def _make(
        self, request: OpenConnect, ksid: bytes, ends: tuple[Uri, Uri], here: Uri, there: Uri, opener: bytes
    ) -> Stream | Opened:
        """Return a new stream, told to the peer, or the answer that says why there is none."""
        if reason := await self._unreachable(there):
            return Opened(status=Status.NO_QKD_CONNECTION, ksid=ksid, reason=reason)
        if (made := self._registry.by_opener.get(opener)) is not None:  # by the same call, while we asked
            return made
        names = str(ends[0]), str(ends[1])
        known = self._registry.known.get(ksid)
        if ksid and (reason := self._taken(ksid, frozenset(names))):
            return Opened(status=Status.OPEN_CONNECT_FAILED_KSID_IN_USE, ksid=ksid, reason=reason)
        if known is None and self._registry.held_by(here.app) >= MOST_STREAMS:
            raise Exhausted(
                f"{MOST_STREAMS} streams of {here.app!r} are open, or were a moment ago: close some, or wait"
            )
        offer = negotiate(request.qos, self._buffers)
        if known is None and offer.problem:
            return Opened(status=Status.OPEN_FAILED_QOS, ksid=ksid, qos=offer.qos, reason=offer.problem)
        qos = known.qos if known else offer.qos
        stream = Stream(0, ksid or self._ksid(), self._token(16), there.node, *names, here.app, qos)
        stream.opened_by, stream.used_at = opener, self._registry.monotonic()
        if known:
            stream.peer_oid, stream.peer_attached, stream.synced = known.oid, True, True
        self._registry.add(stream)
        self._log.info("stream_new", extra={"oid": stream.oid.hex(), "peer": stream.peer})
        self._peers.announce(stream)
        if known:
            self.reserve(stream)
        return stream

    async def _unreachable(self, there: Uri) -> str:
        if not there.node:
            return f"no node is known for {there}"
        if there.node not in self._nodes:
            return f"{self._me} knows no node {there.node} in this network"
        if there.node not in self._peers:
            return f"{there.node} is no neighbour of {self._me}, and keys are not relayed"
        return await self._down(there.node)

    async def _down(self, peer: str) -> str:
        """Say why the link is down; give the two ends of a link that has just started a moment to meet."""
        for _ in range(DOWN_LOOKS):
            state, alarm = await self._links.state(peer)
            if state != "down":
                return ""
            self._links.stale()
            await asyncio.sleep(DOWN_PAUSE)
        return _is_down(peer, alarm)

    def _taken(self, ksid: bytes, pair: frozenset[str]) -> str:
        known = self._registry.known.get(ksid)
        if self._registry.live(ksid) is not None:
            return "the stream has been opened at this end"
        if self._registry.refused(ksid):
            return "the stream was closed a moment ago"
        if known is not None and known.pair != pair:
            return "the KSID belongs to other applications"
        return ""

    # -- the other end
    async def _connect(self, stream: Stream, *, predefined: bool, patience: float) -> Opened:
        """Wait as long as ruling C1 says, and answer."""
        within = bounded(stream.timeout, patience)
        if not predefined:
            await self._wait(stream, max(within, PEER_PATIENCE), lambda: stream.synced)
        else:
            await self._wait(stream, within, lambda: stream.synced and stream.peer_attached)
        if not stream.live:
            return Opened(status=Status.NO_QKD_CONNECTION, ksid=stream.ksid, reason="closed meanwhile")
        if stream.objection and not stream.told:
            return self._give_up(stream, predefined)
        if not predefined and not stream.synced:
            self._leaving.close(stream)
            return await self._unanswered(stream)
        if not stream.told:
            stream.told = True
            self._registry.changed[stream] = None
        attached = stream.peer_attached
        status = Status.SUCCESSFUL if attached else Status.SUCCESSFUL_NO_PEER
        reason = "" if attached else "the other application has not opened the stream yet"
        return Opened(status=status, ksid=stream.ksid, qos=stream.qos, reason=reason)

    async def _unanswered(self, stream: Stream) -> Opened:
        """Say why the key manager next door is silent: its link may have gone down meanwhile."""
        state, alarm = await self._links.state(stream.peer)
        if state == "down":
            return Opened(status=Status.NO_QKD_CONNECTION, qos=stream.qos, reason=_is_down(stream.peer, alarm))
        reason = f"the key manager of {stream.peer} does not answer"
        return Opened(status=Status.TIMEOUT_ERROR, qos=stream.qos, reason=reason)

    async def _wait(self, stream: Stream, within: float, done: Callable[[], bool]) -> None:
        ends = self._registry.monotonic() + within
        while stream.live and not done() and stream.objected in (0, Status.OPEN_CONNECT_FAILED_KSID_IN_USE):
            limit = ends
            if stream.objected:  # perhaps the last stream of this KSID is just being closed there
                limit = min(ends, ends - within + TAKEN_PATIENCE)
            left = limit - self._registry.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(stream.change().wait(), left)
            except TimeoutError:
                return

    def _give_up(self, stream: Stream, predefined: bool) -> Opened:
        """The other end does not go along: there is no stream (ruling C7)."""
        self._leaving.withdraw(stream)
        ksid = stream.ksid if predefined else b""
        return Opened(status=stream.objected, ksid=ksid, qos=stream.qos, reason=stream.objection)

    # -- keysync
    def reserve(self, stream: Stream) -> None:
        """Ask keysync for the stream, until it answers; never again after that (reference "agreement" 5.4)."""
        stream.reserving = True
        self._tasks.spawn(self._reserve(stream))

    async def _reserve(self, stream: Stream) -> None:
        try:
            await self._open_at_keysync(stream)
        except Refused as error:
            stream.object(Status.NO_QKD_CONNECTION, f"keysync refuses: {error}")
        finally:
            stream.reserving = False

    async def _open_at_keysync(self, stream: Stream) -> None:
        self._registry.commit()
        qos = stream.qos
        request = OpenStream(
            ksid=stream.ksid,
            oid=stream.oid,
            peer=stream.peer,
            chunk_size=stream.chunk,
            ttl=qos.ttl,
            priority=qos.priority,
            min_bps=qos.min_bps,
        )
        await ask_until_answered(self._keysync, "open_stream", request, self._log, lambda: stream.live)
        if stream.state == State.NEW:
            stream.state = State.OPEN
            self._registry.changed[stream] = None
            self._registry.commit()
            self._publish("stream_opened", oid=stream.oid.hex(), peer=stream.peer)
            self._opened(stream)


def _read_ksid(ksid: bytes) -> bytes:
    """Return the KSID, empty for NULL."""
    if not ksid or ksid == KSID_NULL:
        return b""
    if len(ksid) != 16:
        raise Refused(f"the KSID has {len(ksid)} octets, not 16")
    return ksid


def _is_down(peer: str, alarm: str) -> str:
    return f"the link to {peer} is down: {alarm}".rstrip(": ")
