"""What a call costs on this machine just now: the bare echo of `benchmarks.get_key`, called one call at a time."""

from __future__ import annotations

import time
from pathlib import Path

import zmq

from qkdbus.errors import Silent
from qkdbus.wire.head_pb2 import Head
from qkdbus.wire.keymanager_pb2 import GetKey

from ..load import PROTOCOL, line, start

CALL = (PROTOCOL, Head(method="get_key", caller=bytes(16), call=1).SerializeToString(), GetKey().SerializeToString())
PATIENCE_MS = 10_000


class Echo:
    """The echo's process and a socket to it, below `folder`. Of one thread; close it in the end."""

    def __init__(self, folder: Path) -> None:
        self._process = start("echo", {"endpoint": f"ipc://{folder}/echo", "server_secret": "", "count": 0})
        endpoint = line(self._process)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        self._socket.connect(endpoint)

    def took(self) -> float:
        """Call it; return how long that took, in s. Silent when it does not answer."""
        began = time.perf_counter()
        self._socket.send_multipart(CALL)
        try:
            self._socket.recv_multipart()
        except zmq.Again:
            raise Silent(f"the echo has not answered in {PATIENCE_MS / 1e3:g} s") from None
        return time.perf_counter() - began

    def close(self) -> None:
        """End it."""
        self._context.destroy(linger=0)
        self._process.kill()
        self._process.communicate()
