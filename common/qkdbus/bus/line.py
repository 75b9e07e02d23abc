"""A DEALER to one endpoint that can be dialled anew, with other keys, while it is in use.

Until the new connection stands what is said goes over the former one, and answers are heard from both: keys are
replaced without a moment in which nobody is reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import zmq

from .curve import KeyPair, secure_client
from .frames import send
from .pump import Pump
from .sockets import dealer

ANSWERS_FOR = 5.0  # s that answers may still come over the former connection
Drain = Callable[[zmq.Socket[bytes], int], bool]


class Line:
    """One line to one server.

    Args:
        drain: is given a socket that may have messages, and takes at most so many; returns whether it left some.
        pair, server_key: for CURVE; without them the line is in the clear.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        drain: Drain,
        pair: KeyPair | None = None,
        server_key: str = "",
    ) -> None:
        self._context, self._endpoint, self._drain = context, endpoint, drain
        self._former: tuple[zmq.Socket[bytes], Pump] | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._socket, self._pump = self._dialled(pair, server_key)

    def send(self, envelope: Sequence[bytes], head: bytes, body: bytes) -> None:
        """Send our frames now. zmq.Again when nobody is connected, or takes more."""
        try:
            send(self._socket, envelope, head, body)
        except zmq.Again:
            if self._former is None or self._ending is not None:
                raise
            send(self._former[0], envelope, head, body)
            self._former[1].nudge()
            return
        self._pump.nudge()
        if self._former is not None and self._ending is None:  # the new connection stands
            self._ending = asyncio.get_running_loop().call_later(ANSWERS_FOR, self._drop)

    def redial(self, pair: KeyPair, server_key: str) -> None:
        """Connect anew, with these keys; the connection that stands is used until the new one does."""
        if self._ending is not None:  # the connection of the last time stands
            self._drop()
        elif self._former is not None:
            self._close(self._socket, self._pump)
            self._socket, self._pump = self._former
        self._former = self._socket, self._pump
        self._socket, self._pump = self._dialled(pair, server_key)

    def hang_up(self) -> None:
        """End the connection; nothing can be sent until it is dialled anew."""
        self._drop()
        self._close(self._socket, self._pump)
        self._socket = dealer(self._context)
        self._pump = Pump(self._socket, self._heard(self._socket))

    def close(self, linger: int = 0) -> None:
        """Close everything; `linger`: ms that what was said last has to leave."""
        self._drop()
        self._close(self._socket, self._pump, linger)

    def _dialled(self, pair: KeyPair | None, server_key: str) -> tuple[zmq.Socket[bytes], Pump]:
        socket = dealer(self._context)
        if server_key:
            assert pair is not None, "CURVE needs the caller's own key pair"
            secure_client(socket, pair, server_key)
        socket.connect(self._endpoint)
        return socket, Pump(socket, self._heard(socket))

    def _heard(self, socket: zmq.Socket[bytes]) -> Callable[[int], bool]:
        return lambda most: not socket.closed and self._drain(socket, most)

    def _drop(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        former, self._former = self._former, None
        if former is not None:
            self._close(*former)

    @staticmethod
    def _close(socket: zmq.Socket[bytes], pump: Pump, linger: int = 0) -> None:
        pump.close()
        socket.close(linger)
