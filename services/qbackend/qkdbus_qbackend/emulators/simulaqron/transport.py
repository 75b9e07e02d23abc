"""A broker's connection through a tunnel: what Twisted calls its transport, over a `Stream` of frames."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Container
from contextlib import suppress

import zmq
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.spread import pb

from qkdbus.errors import Exhausted, Refused

from .stream import Stream


class Transport:
    """What a broker needs of Twisted's ITransport: it writes, and hears what came, and that it is over.

    Args:
        peer: the neighbour at the other end: CURVE says so.
        stream: this end of it.
        send: sends a frame; ZMQError when the other end is gone.
        gone: called at once when the connection is over, whoever has ended it.
    """

    disconnecting = False

    def __init__(
        self,
        peer: str,
        stream: Stream,
        send: Callable[[bytes], None],
        gone: Callable[[], None],
        counters: Counter[str],
        log: logging.Logger,
        shut_out: Container[str] = (),
    ) -> None:
        """`shut_out`: neighbours with whom there shall be no connection any more; changes in place."""
        self.peer, self._shut_out = peer, shut_out
        self._stream, self._send, self._gone = stream, send, gone
        self._counters, self._log = counters, log
        self._broker: pb.Broker | None = None

    @property
    def alive(self) -> bool:
        """Whether a broker has it."""
        return self._broker is not None

    @property
    def waiting(self) -> int:
        """Octets that the other end does not take yet."""
        return self._stream.waiting

    def attach(self, broker: pb.Broker) -> None:
        """Give the connection to a broker."""
        self._broker = broker
        self._counters["tunnels_opened"] += 1
        broker.makeConnection(self)

    # -- as Twisted has it
    def write(self, data: bytes) -> None:
        """Send octets; what the other end does not take yet waits, and when that is too much all is over."""
        if self._broker is None:
            return
        try:
            frames = self._stream.write(data)
        except Exhausted as error:
            self.cut(f"it takes too little: {error}")
        else:
            self._send_all(frames)

    def loseConnection(self) -> None:  # noqa: N802 (Twisted's)
        """End the connection. What waits for the other end is dropped: a broker has nothing to say at parting."""
        self.cut("closed at this end")

    abortConnection = loseConnection  # noqa: N815 (Twisted's)

    # -- of the socket's owner
    def take(self, frame: bytes) -> None:
        """Hand on what a frame brings."""
        if self._broker is None:
            return
        try:
            data = self._stream.take(frame)
        except Refused as error:
            self._counters["tunnels_broken"] += 1
            self.cut(str(error))
            return
        if self._stream.ended:
            self.cut("closed at the other end")
            return
        if data:
            self._hand_on(data)
        if self._broker is not None:
            self._send_all(self._stream.answers())

    def tick(self) -> None:
        """Say how far this end is; so it is noticed that the other end has gone."""
        if self.peer in self._shut_out:
            self.cut("shut out")
        if self._broker is not None:
            self._send_all([self._stream.tick()])

    def cut(self, reason: str) -> None:
        """End the connection now; the other end hears of it if it is there."""
        broker, self._broker = self._broker, None
        if broker is None:
            return
        if not self._stream.ended:
            with suppress(zmq.ZMQError):  # it is gone: nobody to tell
                self._send(self._stream.farewell())
        self._log.info("tunnel_closed", extra={"peer": self.peer, "reason": reason})
        self._gone()
        # as Twisted: whoever closes does not hear of it before it has finished
        asyncio.get_running_loop().call_soon(broker.connectionLost, Failure(ConnectionLost(reason)))

    def _hand_on(self, data: bytes) -> None:
        assert self._broker is not None
        try:
            self._broker.dataReceived(data)
        except Exception as error:
            # in place of Twisted's reactor: what a broker makes of nonsense (of half a dozen kinds) ends its connection
            self._counters["tunnels_broken"] += 1
            self.cut(f"no Perspective Broker ({type(error).__name__})")

    def _send_all(self, frames: list[bytes]) -> None:
        try:
            for frame in frames:
                self._send(frame)
        except zmq.ZMQError as error:  # Again, at a DEALER or when it takes nothing any more; else no such peer
            self.cut(f"gone ({error.strerror})")
