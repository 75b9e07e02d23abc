"""keysync: the two ends agree which bits are chunk (KSID, index); it owns key bits until they are delivered.

`KeySync` is asked by the key manager of the same node and told by the keysyncs of its neighbours. Its methods
only change the store; the server calls `commit` once per drain, and messages leave after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.errors import Refused, Unauthorised, Unavailable
from qkdbus.wire import keysync_pb2 as wire

from .link import Link
from .store import Store
from .tables import Tables

TICK = 1.0  # s: beats, retransmission, expiry, sweeping, checkpoint
MOST_BYTES = 16 << 20  # in one answer of `take`
ID_OCTETS = 16


class KeySync:
    """The layer, for all links of a node.

    Args:
        store: the node's database.
        log: of the service.
        fatal: ends the process; what is in memory is not what is durable.
    """

    def __init__(self, store: Store, log: logging.Logger, fatal: Callable[[BaseException], None]) -> None:
        self._store, self._log, self._fatal = store, log, fatal
        self._links: dict[str, Link] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes: dict[float, asyncio.TimerHandle] = {}
        self._running = False

    @property
    def links(self) -> list[Link]:
        """All links."""
        return list(self._links.values())

    @property
    def running(self) -> bool:
        """Whether the store is open."""
        return self._running

    def attach(self, links: Iterable[Link]) -> None:
        """Take the links on; before `start`."""
        self._links.update((link.end.peer, link) for link in links)

    # --- life

    async def start(self) -> None:
        """Begin: everything that is durable says what to send."""
        self._running = True
        self._forget_strangers()
        for link in self._links.values():
            link.start()
        self.settle()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _forget_strangers(self) -> None:
        """Wipe what is left of links that the network does not have any more."""
        peers = {peer for table in ("link", "open") for (peer,) in self._store.read(f"SELECT peer FROM {table}")}
        for peer in sorted(peers - self._links.keys()):
            self._log.info("link_forgotten", extra={"peer": peer})
            Tables(self._store, peer).wipe_all()

    async def stop(self) -> None:
        """End the exchanges, then close the store as clean."""
        self._running = False
        for handle in (self._timer, *self._wakes.values()):
            if handle is not None:
                handle.cancel()
        for link in self._links.values():
            await link.close()
        self._store.close(clean=True)

    def waiting_for(self) -> str:
        """Ready from the start: a neighbour that is not there yet is no reason to keep the others waiting."""
        return "" if self._running else "start"

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)
        try:
            for link in self._links.values():
                link.tick()
        except Exception as error:
            self._fatal(error)
            return
        self.settle()
        self._store.checkpoint()

    # --- transactions

    def notes(self, method: str, request: Message, answer: Message | None) -> dict[str, object]:
        """Return what is told of a call that somebody follows: no bit of key."""
        said: dict[str, object] = {}
        if isinstance(request, wire.OpenStream | wire.CloseStream | wire.Take):
            said["oid"] = request.oid.hex()
        if isinstance(request, wire.OpenStream):
            said["peer"] = request.peer[:64]
        if isinstance(answer, wire.Taken):
            said |= {"state": wire.StreamState.Name(answer.state).lower(), "next_index": answer.next_index}
            said["keys"] = sum(run.count for run in answer.runs)
        return said

    def commit(self) -> None:
        """End a drain: plan, make durable, then let messages, exchanges and events go. Raises StoreBroken."""
        if not self._running:
            return
        for link in self._links.values():
            link.plan()
        self._store.commit()
        for link in self._links.values():
            link.flush()

    def settle(self) -> None:
        """Commit a step that no server commits; what fails here ends the process."""
        try:
            self.commit()
        except Exception as error:
            self._fatal(error)

    def wake(self, pause: float) -> None:
        """Settle once more in `pause` s: exchanges may start again then."""
        loop = asyncio.get_running_loop()
        due = round(loop.time() + pause, 2)
        if self._running and due not in self._wakes:
            self._wakes[due] = loop.call_later(pause + 0.001, self._woken, due)

    def _woken(self, due: float) -> None:
        self._wakes.pop(due, None)
        self.settle()

    # --- asked by the key manager

    def open_stream(self, request: wire.OpenStream, call: Call) -> wire.StreamOpened:
        """Take an association on; idempotent by oid."""
        link = self._links.get(request.peer)
        if link is None:
            raise Refused(f"no link to {request.peer[:64]!r}")
        if len(request.ksid) != ID_OCTETS or len(request.oid) != ID_OCTETS or not request.chunk_size:
            raise Refused("open_stream needs ksid and oid of 16 octets, and a chunk_size")
        known = self._link_of(request.oid)
        if known is not None and known is not link:
            raise Refused("this oid belongs to another link")
        with self._step():
            link.end.open_stream(request, link.now())
        return wire.StreamOpened()

    def take(self, request: wire.Take, call: Call) -> wire.Taken:
        """Wipe what is acknowledged, answer what is available."""
        link = self._link_of(request.oid)
        if link is None:
            return wire.Taken(state=wire.GONE)
        request.max_bytes = min(request.max_bytes, MOST_BYTES)
        with self._step():
            return link.end.take(request)

    def close_stream(self, request: wire.CloseStream, call: Call) -> wire.StreamClosed:
        """Close an association and wipe its chunks; also when it is not known."""
        link = self._link_of(request.oid)
        if link is not None:
            with self._step():
                link.end.close_stream(request.oid, link.now())
        return wire.StreamClosed()

    def list_opens(self, request: wire.ListOpens, call: Call) -> wire.Opens:
        """Return all associations: the key manager closes those that it does not hold."""
        with self._step():
            oids = [row.oid for link in self._links.values() for row in link.end.tables.opens()]
        return wire.Opens(oids=oids)

    def link_status(self, request: wire.LinkStatusAsked, call: Call) -> wire.Links:
        """Return how every link is."""
        with self._step():
            return wire.Links(links=[link.status() for link in self._links.values()])

    # --- told by a neighbour

    def reconcile(self, request: wire.Reconcile, call: Call) -> None:
        """Act on a message of the agreement."""
        link = self._links.get(call.user)
        if link is None:
            raise Unauthorised(f"no link to {call.user[:64]!r}")
        if self._running:
            link.hear(request)

    def _step(self) -> AbstractContextManager[None]:
        if not self._running:
            raise Unavailable("stopping")
        return self._store.step()

    def _link_of(self, oid: bytes) -> Link | None:
        if not self._running:
            raise Unavailable("not running")
        row = self._store.read("SELECT peer FROM open WHERE oid=?", (oid,)).fetchone()
        return None if row is None else self._links.get(row[0])
