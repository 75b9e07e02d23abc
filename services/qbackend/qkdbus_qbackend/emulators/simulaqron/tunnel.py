"""Perspective Broker between hosts: a broker's connection as a `Stream` of frames through a CURVE socket.

The arbiter of a link dials, with a DEALER of its own for each connection; the follower has one ROUTER, which lets in
neighbours with a SimulaQron link and nobody else. A frame that is lost, or comes through a socket that has connected
anew, does not fit the stream and ends it; the broker then dials again. The sockets' own heartbeats find a peer that is
gone without a word within a second; the ticks notice what they found.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Collection, Container
from contextlib import suppress

import zmq
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.spread import pb

from qkdbus.bus.frames import receive
from qkdbus.bus.pump import Pump
from qkdbus.bus.sockets import dealer, router
from qkdbus.errors import Refused
from qkdbus.runtime import Room
from qkdbus.runtime.settings import Neighbour

from .stream import LONGEST_FRAME, WINDOW, Stream, dismissal, opened_by
from .transport import Transport

TICK = 0.3  # s between two looks at whether the other end is there
KNOCK = 0.02  # s likewise, before it was
HEARTBEAT, DEAD_AFTER = 300, 900  # ms, of ZeroMQ: a peer that was cut off is missed within a second
SEALED = 64  # octets by which CURVE makes a frame longer, and more
MOST_CONNECTIONS = 4  # of one neighbour: it needs one, and one that is not yet known to be dead


class Tunnel:
    """The ways to neighbours on other hosts.

    Args:
        room: for sockets and their keys.
        neighbours: with a SimulaQron link, on other hosts.
    """

    def __init__(self, room: Room, neighbours: Collection[Neighbour]) -> None:
        self._room = room
        self._dialled = {n.name: n for n in neighbours if n.arbiter}
        self._expected = frozenset(n.name for n in neighbours if not n.arbiter)
        self.names = frozenset(n.name for n in neighbours)
        self._door: _Door | None = None
        self._dials: set[Dial] = set()

    @property
    def dialled(self) -> Collection[str]:
        """Neighbours to which this end connects."""
        return self._dialled

    def listen(self, root: pb.Root) -> None:
        """Let in those that connect to this end, to a broker with that root; nothing is opened if there are none."""
        if not self._expected:
            return
        settings, socket = self._room.settings, _brisk(router(self._room.context))
        endpoint = f"tcp://{settings.listen}:{settings.ports.emulator}"
        self._room.bind(socket, endpoint, "emulators", self._expected)
        factory = pb.PBServerFactory(root)
        factory.noisy = False
        self._door = _Door(socket, factory, self._room.counters, self._room.log, self._room.shut_out)

    def connect(self, peer: str, factory: pb.PBClientFactory) -> Dial:
        """Begin to connect to a neighbour, as `reactor.connectUNIX` would."""
        neighbour = self._dialled[peer]
        socket = _brisk(dealer(self._room.context))
        endpoint = f"tcp://{neighbour.host}:{neighbour.ports.emulator}"
        self._room.connect(socket, endpoint, neighbour.public_key)
        dial = Dial(socket, peer, factory, self._dials, self._room.counters, self._room.log, self._room.shut_out)
        self._dials.add(dial)
        return dial

    def open(self) -> list[Transport]:
        """Return the connections that there are."""
        inside = [] if self._door is None else self._door.inside()
        return [dial.transport for dial in self._dials if dial.transport.alive] + inside

    def close(self) -> None:
        """End every connection, and let nobody in."""
        for dial in list(self._dials):
            dial.disconnect()
        if self._door is not None:
            self._door.close()


class Dial:
    """One connection to one neighbour: a socket, used once. Twisted's IConnector, as far as brokers use it."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        peer: str,
        factory: pb.PBClientFactory,
        dials: set[Dial],
        counters: Counter[str],
        log: logging.Logger,
        shut_out: Container[str] = (),
    ) -> None:
        self._socket, self._factory, self._dials = socket, factory, dials
        self._stream = Stream(os.urandom(16))
        self.transport = Transport(peer, self._stream, self._send, self._close, counters, log, shut_out)
        self._opening = self._stream.opening()  # until it was sent
        self._pump = Pump(socket, self._drain)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle = self._loop.call_soon(self._knock)

    def disconnect(self) -> None:
        """End the connection, or the attempt."""
        if self._opening:
            self._close()
            self._factory.clientConnectionFailed(self, Failure(ConnectionLost("given up")))
        else:
            self.transport.cut("closed at this end")

    def _knock(self) -> None:
        """Send the first frame as soon as the door is open; a DEALER with IMMEDIATE takes nothing before."""
        try:
            self._send(self._opening)
        except zmq.Again:
            self._pump.nudge()  # a look at the socket may have swallowed its wake-up
            self._timer = self._loop.call_later(KNOCK, self._knock)
            return
        self._opening = b""
        self._timer = self._loop.call_later(TICK, self._tick)
        broker = self._factory.buildProtocol(None)
        self.transport.attach(broker)

    def _send(self, frame: bytes) -> None:
        self._socket.send(frame, zmq.NOBLOCK)
        self._pump.nudge()

    def _drain(self, most: int) -> bool:
        for _ in range(most):
            try:
                _, frames = receive(self._socket)
            except zmq.Again:
                return False
            self.transport.take(b"".join(frames))
            if self._socket.closed:
                return False
        return True

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        self.transport.tick()

    def _close(self) -> None:
        self._timer.cancel()
        self._pump.close()
        self._socket.close(linger=200)  # ms: for the farewell
        self._dials.discard(self)
        if not self._opening:
            reason = Failure(ConnectionLost("closed"))
            self._loop.call_soon(self._factory.clientConnectionLost, self, reason)


class _Door:
    """The ROUTER through which neighbours come in: a broker for each connection."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        factory: pb.PBServerFactory,
        counters: Counter[str],
        log: logging.Logger,
        shut_out: Container[str],
    ) -> None:
        self._socket, self._factory, self._counters, self._log = socket, factory, counters, log
        self._shut_out = shut_out
        self._inside: dict[bytes, Transport] = {}  # routing id -> connection, the oldest first
        self._pump = Pump(socket, self._drain)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TICK, self._tick)

    def inside(self) -> list[Transport]:
        """Return the connections, the oldest first."""
        return list(self._inside.values())

    def close(self) -> None:
        """End every connection."""
        for transport in self.inside():
            transport.cut("closed at this end")
        self._timer.cancel()
        self._pump.close()
        self._socket.close(linger=200)

    def _drain(self, most: int) -> bool:
        for _ in range(most):
            try:
                last, (route, *frames) = receive(self._socket)
            except zmq.Again:
                return False
            frame, peer = b"".join(frames), str(last.get("User-Id"))
            transport = self._inside.get(route)
            if transport is None:
                self._admit(route, peer, frame)
            elif transport.peer == peer:
                transport.take(frame)
            else:
                self._counters["tunnels_broken"] += 1  # somebody has given himself the name of another's socket
        return True

    def _admit(self, route: bytes, peer: str, frame: bytes) -> None:
        try:
            stream = opened_by(frame)
        except Refused:
            self._dismiss(route, frame)
            return
        of_peer = [transport for transport in self.inside() if transport.peer == peer]
        for transport in of_peer[: 1 - MOST_CONNECTIONS]:
            transport.cut("it has dialled again")

        def send(frame: bytes) -> None:
            self._socket.send(route, zmq.NOBLOCK | zmq.SNDMORE)
            self._socket.send(frame, zmq.NOBLOCK)
            self._pump.nudge()

        def gone() -> None:
            self._inside.pop(route, None)

        transport = self._inside[route] = Transport(peer, stream, send, gone, self._counters, self._log, self._shut_out)
        transport.attach(self._factory.buildProtocol(None))

    def _dismiss(self, route: bytes, frame: bytes) -> None:
        """Tell an end whose connection is not known, or not any more, that it is over."""
        try:
            answer = dismissal(frame)
        except Refused:
            self._counters["tunnels_broken"] += 1
            return
        if answer:
            self._counters["tunnels_dismissed"] += 1
            with suppress(zmq.ZMQError):  # it is gone, too
                self._socket.send_multipart([route, answer], zmq.NOBLOCK)
                self._pump.nudge()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        self._pump.nudge()  # the door may have been bound anew, and a look at the socket swallows its wake-up
        for transport in self.inside():
            transport.tick()


def _brisk(socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    """Set what differs from other sockets of ours, before it binds or connects."""
    socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_FRAME + SEALED)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, DEAD_AFTER)
    # what keeps to the window never fills the queue; what does not is stopped by it
    socket.setsockopt(zmq.SNDHWM, 4 * WINDOW)
    socket.setsockopt(zmq.RCVHWM, 4 * WINDOW)
    return socket
