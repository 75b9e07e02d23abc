"""The connections of a door: how many there are and whose, and which have to go when there are too many.

libzmq does not tell whose a connection is before it has said something. So those that say nothing go first: whoever
opens connections by the thousand, with a credential or without, pushes out his own. A connection is ended by shutting
its TCP socket down; libzmq then clears it away, and a client that was wronged connects again within half a second.
"""

from __future__ import annotations

import os
import resource
import socket as tcp
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from .pump import Pump

if TYPE_CHECKING:
    from ..network.limits import Limits

ASK_EVERY = 1 << 20  # octets sent on a connection after which the kernel is asked how many have arrived
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_SOURCE = int(zmq.SRCFD)
_ACKED = 120  # where `tcpi_bytes_acked` is in Linux' struct tcp_info


@dataclass(slots=True, eq=False)
class _Open:
    """One connection.

    Attributes:
        descriptor: of its TCP socket; `peer` is the address at its other end.
        user: who has spoken on it; "" while nobody has.
        spoken: when that was last, or when it was opened.
        unread: octets sent on it and not known to have arrived; `asked` of them when the kernel was asked last, which
            then knew of `acked` octets in all.
    """

    descriptor: int
    peer: Any
    spoken: float
    user: str = ""
    unread: int = 0
    asked: int = 0
    acked: int = 0


class Connections:
    """All connections of one ROUTER."""

    def __init__(
        self, socket: zmq.Socket[bytes], limits: Limits, counters: Counter[str], clock: Callable[[], float]
    ) -> None:
        self._socket, self._limits, self._counters, self._clock = socket, limits, counters, clock
        self._open: dict[int, _Open] = {}  # by descriptor, the oldest first
        self._routes: dict[bytes, _Open] = {}  # by routing id
        _make_room(limits.all_connections)
        self._monitor = socket.get_monitor_socket(_EVENTS)
        self._pump = Pump(self._monitor, self._drain)

    def __len__(self) -> int:
        return len(self._open)

    def seen(self, user: str, route: bytes, last: zmq.Frame, now: float) -> None:
        """A message of `user` came through the connection `route`."""
        one = self._routes.get(route)
        if one is not None and one.user == user:
            one.spoken = now
            return
        try:
            one = self._open.get(last.get(_SOURCE))
        except zmq.ZMQError:  # it came over no socket that has a descriptor
            return
        if one is not None:
            one.user, one.spoken = user, now
            self._routes[route] = one
            theirs = [other for other in self._open.values() if other.user == user]
            if len(theirs) > self._limits.connections:
                self._end(min(theirs, key=lambda other: other.spoken), "connections_ended")

    def sent(self, route: bytes, octets: int) -> None:
        """So much was sent on a connection."""
        one = self._routes.get(route)
        if one is not None:
            one.unread += octets
            if one.unread - one.asked > ASK_EVERY:
                self._ask(one)

    def tidy(self) -> None:
        """Forget connections that have ended without a word."""
        for one in list(self._open.values()):
            with _looked_at(one) as held:
                if held is None:
                    self._forget(one)
        self._routes = {route: one for route, one in self._routes.items() if self._open.get(one.descriptor) is one}

    def close(self) -> None:
        """Look no more."""
        self._pump.close()
        with suppress(zmq.ZMQError):
            self._socket.disable_monitor()

    def _drain(self, most: int) -> bool:
        for _ in range(most):
            try:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return False
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._accepted(int(event["value"]))
            elif one := self._open.get(int(event["value"])):
                self._forget(one)
        return True

    def _accepted(self, descriptor: int) -> None:
        try:
            with tcp.socket(fileno=os.dup(descriptor)) as held:
                peer = held.getpeername()
        except OSError:  # gone already
            return
        self._open.pop(descriptor, None)
        self._open[descriptor] = _Open(descriptor, peer, self._clock())
        if len(self._open) > self._limits.all_connections:
            self._end(self._one_too_many(), "connections_ended")

    def _one_too_many(self) -> _Open:
        """Choose: the oldest of those that never said anything; else whose user has most, what said nothing longest."""
        for one in self._open.values():
            if not one.user:
                return one
        user = Counter(one.user for one in self._open.values()).most_common(1)[0][0]
        return min((one for one in self._open.values() if one.user == user), key=lambda one: one.spoken)

    def _ask(self, one: _Open) -> None:
        """Find out how much of what was sent has arrived; end what is not read and grows."""
        self._learn(one)
        theirs = [other for other in self._open.values() if other.user == one.user]
        if sum(other.unread for other in theirs) > self._limits.unread_octets:
            for other in theirs:
                self._learn(other)
            if sum(other.unread for other in theirs) > self._limits.unread_octets:
                self._end(max(theirs, key=lambda other: other.unread), "slow_readers_ended")

    def _learn(self, one: _Open) -> None:
        with _looked_at(one) as held:
            acked = one.acked + one.unread if held is None else _acked(held, one)
        one.unread = max(0, one.unread - (acked - one.acked))
        one.asked, one.acked = one.unread, acked

    def _end(self, one: _Open, why: str) -> None:
        self._counters[why] += 1
        with _looked_at(one) as held:
            if held is not None:
                with suppress(OSError):
                    held.shutdown(tcp.SHUT_RDWR)
        self._forget(one)

    def _forget(self, one: _Open) -> None:
        if self._open.get(one.descriptor) is one:
            del self._open[one.descriptor]


@contextmanager
def _looked_at(one: _Open) -> Iterator[tcp.socket | None]:
    """Hold a connection's TCP socket; None when the descriptor is another's by now."""
    try:
        held = tcp.socket(fileno=os.dup(one.descriptor))
    except OSError:
        yield None
        return
    with held:
        try:
            same = held.getpeername() == one.peer
        except OSError:
            same = False
        yield held if same else None


def _acked(held: tcp.socket, one: _Open) -> int:
    """Return how many octets the other end's kernel has acknowledged; all, where ours does not tell."""
    try:
        told = held.getsockopt(tcp.IPPROTO_TCP, tcp.TCP_INFO, _ACKED + 8)
        return int(struct.unpack_from("=Q", told, _ACKED)[0])
    except (OSError, struct.error):
        return one.acked + one.unread


def _make_room(connections: int) -> None:
    """Have file descriptors for so many connections, and as many again, if that may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
