"""Binding a CURVE server anew at its endpoint: with another key, or to end every connection that came in there.

libzmq reads a server's key when a connection comes in at a listener, and closes a listener's connections with it. Peers
connect again within half a second, and ask again what was not answered.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

import zmq

from .curve import KeyPair

AGAIN_AFTER = 0.005  # s; the former listener is closed by another thread


def rebind(socket: zmq.Socket[bytes], pair: KeyPair, endpoint: str, bound: Callable[[], None] = lambda: None) -> None:
    """Close what listens at `endpoint`, and bind again with `pair`; `bound` is called when that has come to pass."""
    try:
        socket.unbind(endpoint)
    except zmq.ZMQError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):  # nothing listens yet: the last time is still under way
            raise
    socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())
    _bind(socket, pair, endpoint, bound)


def _bind(socket: zmq.Socket[bytes], pair: KeyPair, endpoint: str, bound: Callable[[], None]) -> None:
    if socket.closed:
        return
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        asyncio.get_running_loop().call_later(AGAIN_AFTER, _bind, socket, pair, endpoint, bound)
    else:
        bound()
