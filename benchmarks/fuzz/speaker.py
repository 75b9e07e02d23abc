"""Says hostile messages to a door, many under way at once, and hears whether somebody is still there."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable

import zmq
from google.protobuf.message import DecodeError

from qkdbus.bus.curve import KeyPair, secure_client
from qkdbus.bus.frames import PROTOCOL
from qkdbus.wire.head_pb2 import Head, Outcome

UNDER_WAY = 256  # messages between two looks whether the door still answers
PATIENCE = 60.0  # s that a ping may take, whatever else the door is told
REPEAT = 1.0  # s after which it is said again: the connection may have been cut with it


class Speaker:
    """One connection to one door.

    Attributes:
        outcomes: what was answered, by name; "unreadable" for what is no answer of ours.
        slowest: s that the slowest ping took.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        pair: KeyPair | None = None,
        server_key: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self._caller, self._pings = os.urandom(16), 0
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, 10 * UNDER_WAY)
        self._socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE * 1e3))
        if pair is not None:
            secure_client(self._socket, pair, server_key)
        self._socket.connect(endpoint)

    def say(self, messages: Iterable[list[bytes]]) -> int:
        """Say them all; return how many. TimeoutError when the door does not answer a ping any more."""
        said = 0
        for frames in messages:
            self._socket.send_multipart(frames)
            said += 1
            if said % 16 == 0:
                self._hear(0)
            if said % UNDER_WAY == 0:
                self.ping()
        self.ping()
        return said

    def ping(self) -> None:
        """Wait until the door has answered a ping that was said after everything else."""
        self._pings += 1
        head = Head(method="ping", caller=self._caller, call=self._pings, settled=self._pings).SerializeToString()
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            self._socket.send_multipart([b"", PROTOCOL, head, b""])
            again = time.monotonic() + REPEAT
            while time.monotonic() < again:
                if self._hear(50, self._pings):
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    return
        raise TimeoutError(f"{self.endpoint} has not answered a ping for {PATIENCE:g} s")

    def close(self) -> None:
        """Hang up."""
        self._socket.close(linger=0)

    def _hear(self, wait_ms: int, awaited: int = -1) -> bool:
        """Take what has come; return whether the answer to our ping `awaited` was there."""
        found = False
        if wait_ms and not self._socket.poll(wait_ms):
            return False
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return found
            try:
                head = Head.FromString(frames[2])
            except (IndexError, DecodeError):
                self.outcomes["unreadable"] += 1
                continue
            self.outcomes[Outcome.Name(head.outcome)] += 1
            found = found or (head.call == awaited and len(frames[3]) > 0)
