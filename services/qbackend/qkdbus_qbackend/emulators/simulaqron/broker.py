"""Links to the virtual nodes next door: SimulaQron's Perspective Broker, one connection a link.

The broker has no authentication, so it never listens on TCP. To nodes on this host it speaks over a Unix socket, which
lies in a folder of the user's own (0700), is 0600 itself, and takes no connection from another user; to nodes on other
hosts through a tunnel, where CURVE says who is there. One end of each link dials, and dials again when the other
restarts; a peer that does not answer in time counts as lost, and its connection is cut.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from twisted.spread import pb

from qkdbus.errors import Unavailable
from qkdbus.signs import Silence, look

from .meeting import Link, Resident

SLICES = 10  # in which a patience is waited for
FIRST_RETRY, LAST_RETRY = 0.2, 1.0  # s between two attempts to connect
MEETING = 3.0  # s for a new connection to become a link
Connect = Callable[[pb.PBClientFactory], Any]  # begins to connect; returns what has `disconnect()`


class FencedBroker(pb.Broker):  # type: ignore[misc]
    """A broker that talks to processes of the same user only."""

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's)
        """Cut the connection of another user before a byte of it is read."""
        if _user_at(self.transport.getHandle()) not in (os.geteuid(), None):
            self.transport.abortConnection()
        else:
            super().connectionMade()


def _user_at(connection: socket.socket) -> int | None:
    """User id of the process at the other end of a Unix socket; None where the system does not tell."""
    return _credentials(connection)[1] if hasattr(socket, "SO_PEERCRED") else None


def _process_at(far: Any) -> int:
    """Process at the other end of a reference's connection; 0 where the system does not tell."""
    handle = getattr(far.broker.transport, "getHandle", lambda: None)()  # a tunnel has none
    if isinstance(handle, socket.socket) and hasattr(socket, "SO_PEERCRED"):
        return _credentials(handle)[0]
    return 0


def _credentials(connection: socket.socket) -> tuple[int, int]:
    pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid), int(uid)


class Far(Protocol):
    """Ways to the neighbours on other hosts (`Tunnel`)."""

    names: frozenset[str]  # of these neighbours

    @property
    def dialled(self) -> Collection[str]:
        """Those that this node connects to; the others connect to it."""

    def listen(self, root: pb.Root) -> None:
        """Let them in to a broker with that root. The transport of such a broker has the neighbour's name: `peer`."""

    def connect(self, peer: str, factory: pb.PBClientFactory) -> Any:
        """Begin to connect to one, as `reactor.connectUNIX` would; returns what has `disconnect()`."""

    def close(self) -> None:
        """End every connection, and let nobody in."""


class BrokerNeighbours:
    """Implements `service.Neighbours`.

    Args:
        name: of this node.
        dial: sockets of the neighbours on this host that this node connects to; the others connect to it.
        expect: names of all neighbours on this host with a SimulaQron link.
        far: ways to those on other hosts, if there are any.
        patience: s until a peer that does not answer counts as lost.
        log: links up and down.
    """

    def __init__(
        self,
        name: str,
        dial: Mapping[str, Path],
        expect: frozenset[str],
        *,
        far: Far | None = None,
        patience: float,
        log: logging.Logger,
    ) -> None:
        self._name, self._dial, self._expect, self._far = name, dial, expect, far
        self._patience, self._log = patience, log
        self._links: dict[str, Link] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._resident: Resident
        self._reactor: Any = None
        self._port: Any = None

    def start(self, reactor: Any, root: pb.Root, resident: Resident, path: Path) -> None:
        """Listen on the Unix socket `path` and begin to dial. Unavailable when another process listens there."""
        self._reactor, self._resident = reactor, resident
        _make_way(path)
        factory = pb.PBServerFactory(root)
        factory.protocol, factory.noisy = FencedBroker, False
        before = os.umask(0o177)  # no moment at which others could connect
        try:
            self._port = reactor.listenUNIX(str(path), factory, mode=0o600)
        finally:
            os.umask(before)
        connects = {peer: partial(self._connect_unix, there) for peer, there in self._dial.items()}
        if self._far is not None:
            self._far.listen(root)
            connects |= {peer: partial(self._far.connect, peer) for peer in self._far.dialled}
        self._tasks = [asyncio.create_task(self._keep(peer, connect)) for peer, connect in connects.items()]

    async def stop(self) -> None:
        """Close all links and the socket."""
        for task in self._tasks:
            task.cancel()
        links = list(self._links.values())
        for link in links:
            _cut(link.far)
        for link in links:
            await link.lost.wait()  # else the broker would speak once more, to a loop that is closed
        if self._far is not None:
            self._far.close()
        if self._port is not None:
            await _future(self._port.stopListening())

    def up(self) -> list[str]:
        """Names of the neighbours that are connected."""
        return sorted(self._links)

    async def announce(self, peer: str, line: str, batch: int, count: int) -> str:
        """Tell the sink of a batch; returns "" or why it does not take it."""
        return str(await self._ask(peer, "arrived", line, batch, count))

    async def measure(self, peer: str, line: str, batch: int, bases: bytes) -> bytes:
        """Have the source measure the halves that travelled here, in one round trip."""
        outcomes, refusal = await self._ask(peer, "measure", line, batch, bases)
        if refusal:
            raise Unavailable(refusal)
        return bytes(outcomes)

    def forget(self, peer: str, line: str) -> None:
        """Tell a neighbour, if it is there, that a line has ended."""
        link = self._links.get(peer)
        if link is not None:
            with suppress(pb.DeadReferenceError):
                # nobody waits; a connection that breaks meanwhile has ended the line anyway
                link.far.callRemote("forget", line).addErrback(lambda _failure: None)

    def meet(self, peer: str, far: Any) -> Link:
        """A neighbour has connected; returns our link to it. Refused for strangers."""
        if not isinstance(far, pb.RemoteReference) or not self._is_expected(peer, far.broker.transport):
            raise pb.Error("not expected")
        link = Link(peer, self._resident)
        self._join(link, far)
        return link

    def _is_expected(self, peer: str, transport: Any) -> bool:
        far = self._far
        if far is not None and peer in far.names:
            return peer not in far.dialled and getattr(transport, "peer", None) == peer
        return peer in self._expect and peer not in self._dial and not hasattr(transport, "peer")

    async def _keep(self, peer: str, connect: Connect) -> None:
        """Hold a link to `peer` for ever."""
        pause = FIRST_RETRY
        while True:
            with suppress(Unavailable):
                link = await self._connect(peer, connect)
                pause = FIRST_RETRY
                await link.lost.wait()
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LAST_RETRY)

    def _connect_unix(self, path: Path, factory: pb.PBClientFactory) -> Any:
        factory.protocol = FencedBroker
        return self._reactor.connectUNIX(str(path), factory, timeout=MEETING)

    async def _connect(self, peer: str, connect: Connect) -> Link:
        factory = pb.PBClientFactory()
        factory.noisy = False
        connector = connect(factory)
        link = Link(peer, self._resident)
        try:
            root = await _in_time(factory.getRootObject(), MEETING)
            self._join(link, await _in_time(root.callRemote("meet", self._name, link), MEETING))
        except BaseException:
            connector.disconnect()
            raise
        return link

    def _join(self, link: Link, far: Any) -> None:
        old = self._links.get(link.peer)
        if old is not None:
            self._part(old)
            _cut(old.far)
        link.far = far
        self._links[link.peer] = link
        far.notifyOnDisconnect(lambda _reference: self._part(link))
        self._log.info("link_up", extra={"peer": link.peer})

    def _part(self, link: Link) -> None:
        if link.lost.is_set():
            return
        link.lost.set()
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
        self._log.warning("link_down", extra={"peer": link.peer})
        self._resident.peer_lost(link.peer)

    async def _ask(self, peer: str, method: str, *arguments: object) -> Any:
        link = self._links.get(peer)
        if link is None:
            raise Unavailable(f"the virtual node of {peer} is not connected")
        try:
            return await self._wait_for(link.far, link.far.callRemote(method, *arguments))
        except (Unavailable, pb.DeadReferenceError):
            # frozen, or gone: a cut connection ends its lines at both ends, and the link begins anew
            self._part(link)
            _cut(link.far)
            raise Unavailable(f"the virtual node of {peer} does not answer") from None

    async def _wait_for(self, far: Any, deferred: Any) -> Any:
        """Wait for an answer as long as the other end lives: one that is busy with its qubits still says so."""
        answer = asyncio.ensure_future(_future(deferred))
        try:
            while not (await asyncio.wait({answer}, timeout=self._patience / 2))[0]:
                await _in_time(far.callRemote("alive"), self._patience / 2, _process_at(far))
        except BaseException:
            answer.cancel()
            raise
        return await _in_time(answer, self._patience)


async def _in_time(waited: Any, patience: float, process: int = 0) -> Any:
    """Wait for a Deferred, or a future. Unavailable when it fails or takes longer than `patience` s.

    Slice by slice: on a machine where nobody gets to run, each lasts as long as it takes to be woken up, and the other
    end, which had no chance to answer either, is not taken for lost. `process`: who has to answer, if that is known.
    """
    answer = asyncio.ensure_future(waited if asyncio.isfuture(waited) else _future(waited))
    slice_ = patience / SLICES
    silence = Silence(patience - slice_ / 2)  # all slices, however their sum is rounded
    try:
        while not (await asyncio.wait({answer}, timeout=slice_))[0]:
            if silence.too_long(slice_, look(process) if process else None):
                raise TimeoutError
        return answer.result()
    except Exception as error:
        raise Unavailable(f"no answer from a virtual node ({type(error).__name__})") from None
    finally:
        answer.cancel()


def _future(deferred: Any) -> Awaitable[Any]:
    future: asyncio.Future[Any] = deferred.asFuture(asyncio.get_running_loop())
    return future


def _cut(far: Any) -> None:
    transport = far.broker.transport
    if transport is not None:
        transport.abortConnection()


def _make_way(path: Path) -> None:
    """Remove the socket that a killed process left. Unavailable when a living one listens there."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise Unavailable(f"another process listens on {path}")
