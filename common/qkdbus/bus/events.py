"""Events: a PUB socket that never waits, and the ear that notices gaps.

Frames: [b"<node>.<layer>.<event>", Event]. Numbers are dense per publisher since its start; a number that is not
the next one tells the listener how many it missed (or that the publisher has started again).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zmq
from google.protobuf.message import DecodeError

from ..wire.head_pb2 import Event
from .pump import Pump

LARGEST = 1 << 20  # octets of an event that is heard
MOST_PUBLISHERS = 1000  # whose numbers a listener follows
MOST_MISSED = 1 << 20  # events that one gap counts for, whatever its publisher says
KEPT = 1000  # events waiting for a slow listener; more are dropped for that listener


class Publisher:
    """Publishes the events of one service."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        node: str,
        layer: str,
        replica: int,
        clock: Callable[[], float],
        keep: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """`keep` gets each event before any listener does: what it keeps holds all that anybody has heard."""
        self._node, self._layer, self._replica, self._clock = node, layer, replica, clock
        self._keep = keep
        self._number = 0
        self._socket = context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, KEPT)
        self._socket.bind(endpoint)

    @property
    def published(self) -> int:
        """Events so far."""
        return self._number

    def publish(self, name: str, **fields: object) -> None:
        """Tell all listeners; never waits. Fields are written as text: no secrets, no bytes."""
        self._number += 1
        event = Event(
            number=self._number,
            at=self._clock(),
            node=self._node,
            layer=self._layer,
            name=name,
            fields={key: str(value) for key, value in fields.items()},
            replica=self._replica,
        )
        self._keep(event)
        topic = f"{self._node}.{self._layer}.{name}".encode()
        self._socket.send_multipart([topic, event.SerializeToString()], zmq.NOBLOCK)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(linger=50)


class Listener:
    """Hears events whose topic begins with one of `prefixes`; `missed(n)` tells of a gap."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        prefixes: Sequence[str],
        heard: Callable[[Event], None],
        missed: Callable[[int], None],
    ) -> None:
        self._heard, self._missed = heard, missed
        self._everything = "" in prefixes
        self._last: dict[tuple[str, str, int], int] = {}
        self._socket = context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        for prefix in prefixes:
            self._socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        self._socket.connect(endpoint)
        self._pump = Pump(self._socket, self._drain)

    def close(self) -> None:
        """Stop listening."""
        self._pump.close()
        self._socket.close(linger=0)

    def _drain(self, most: int) -> bool:
        for _ in range(most):
            try:
                _, body = self._socket.recv_multipart(zmq.NOBLOCK)
                event = Event.FromString(body)
            except zmq.Again:
                return False
            except (ValueError, DecodeError):
                continue
            self._notice_gap(event)
            self._heard(event)
        return True

    def _notice_gap(self, event: Event) -> None:
        """Only who hears everything can tell a gap from a topic it did not ask for."""
        who = (event.node, event.layer, event.replica)
        last = self._last.get(who)
        if last is None and len(self._last) >= MOST_PUBLISHERS:
            self._last.clear()
        self._last[who] = event.number
        if self._everything and last is not None and event.number > last + 1:
            self._missed(min(event.number - last - 1, MOST_MISSED))
