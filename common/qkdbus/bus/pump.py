"""A ZeroMQ socket in an asyncio loop without zmq.asyncio: many messages are drained per wake-up.

A socket's file descriptor is edge triggered: it may fall silent while messages wait, whenever any call on the
socket has looked at its events. So the pump looks again after each drain, and whoever sends on a pumped socket
outside of one calls `nudge()` afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import zmq

BURST = 256  # messages a drain takes before other work gets its turn
ROUNDS = 4  # drains in a row, likewise
_EVENTS, _READABLE = zmq.EVENTS, int(zmq.POLLIN)


class Pump:
    """Calls `drain(BURST)` whenever the socket may have messages; drain returns whether it left some.

    A drain may send on the socket, and finds it empty when there was no reason to wake.
    """

    def __init__(self, socket: zmq.Socket[bytes], drain: Callable[[int], bool]) -> None:
        self._socket, self._drain = socket, drain
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._scheduled = False
        self._closed = False
        self._loop.add_reader(self._descriptor, self._woken)
        self.nudge()

    def nudge(self) -> None:
        """Look at the socket again in this turn of the loop's next round."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._again)

    def close(self) -> None:
        """Stop listening; the socket itself stays the owner's."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._descriptor)

    def _again(self) -> None:
        self._scheduled = False
        if not self._closed:
            self._woken()

    def _woken(self) -> None:
        try:
            for _ in range(ROUNDS):
                if self._drain(BURST):
                    break
                if self._closed or not int(self._socket.getsockopt(_EVENTS)) & _READABLE:
                    return
        finally:  # also when a drain fails: what waits behind its message would not wake us
            if not self._closed and int(self._socket.getsockopt(_EVENTS)) & _READABLE:
                self.nudge()
