"""Notices on their way: kept for a moment while the peer is not connected yet, in order, and then dropped.

Two processes that start together speak before their connection stands. Without this, their first words would be lost
and come again only with the next retransmission.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import zmq

from .line import Line

KEPT_FOR = 1.0  # s
KEPT = 256  # notices; the oldest go first
TRY_AGAIN = 0.02  # s
DELIMITER = (b"",)


class Notices:
    """Sends through a line that refuses (EAGAIN) while nobody is connected."""

    def __init__(self, line: Line, monotonic: Callable[[], float]) -> None:
        self._line, self._monotonic = line, monotonic
        self._waiting: deque[tuple[float, bytes, bytes]] = deque(maxlen=KEPT)
        self._timer: asyncio.TimerHandle | None = None

    def send(self, head: bytes, body: bytes) -> None:
        """Send now, or as soon as somebody is connected, if that is soon."""
        if self._waiting or not self._through(head, body):
            self._waiting.append((self._monotonic() + KEPT_FOR, head, body))
            self._schedule()

    def hurry(self) -> None:
        """Send what waits, if that can be done now: a call that follows does not overtake it."""
        if self._waiting:
            self._flush()

    def close(self) -> None:
        """Forget what has not been sent."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TRY_AGAIN, self._again)

    def _again(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        now = self._monotonic()
        while self._waiting:
            ends, head, body = self._waiting[0]
            if ends > now and not self._through(head, body):
                self._schedule()
                return
            self._waiting.popleft()

    def _through(self, head: bytes, body: bytes) -> bool:
        try:
            self._line.send(DELIMITER, head, body)
        except zmq.Again:
            return False
        return True
