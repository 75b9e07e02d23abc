"""What of a service goes out into the world over CURVE: its doors, its calls to neighbours, and the keys of both.

Keys may be replaced while the service runs, and a neighbour may be shut out: a look at the disk once a second, and
doors are bound and lines dialled anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import zmq
from zmq.utils import z85

from ..bus.asker import Asker
from ..bus.curve import AppsFile, Gatekeeper, KeyPair, Names, secure_client, secure_server
from ..bus.known import Known
from ..bus.rebinding import rebind
from .keyring import LOOK_EVERY, Changes, Keyring
from .settings import NodeSettings

NORTH = "north"  # the door for applications; every other one is for neighbours
SAY_EVERY = 1.0  # s between two lines of the log about those who were not let in: they may come by the thousand
Still = Callable[[str, str], bool]
Rebind = Callable[[KeyPair, str], None]  # with this pair, at this endpoint


class Doorway:
    """The doors and lines of one service."""

    def __init__(
        self,
        settings: NodeSettings,
        context: zmq.Context[zmq.Socket[bytes]],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        log: logging.Logger,
        counters: Counter[str],
    ) -> None:
        self._settings, self._context, self._clock, self._monotonic = settings, context, clock, monotonic
        self._log, self._counters = log, counters
        self.keys = Keyring(settings)
        self._peer_of = {n.public_key: n.name for n in settings.neighbours if n.public_key}
        self._gatekeeper: Gatekeeper | None = None
        self._bound: list[tuple[str, str, Rebind]] = []  # door, endpoint
        self._lines: list[tuple[str, Asker]] = []  # neighbour, and how it is asked
        self._timer: asyncio.TimerHandle | None = None
        self._unsaid, self._say_at = 0, 0.0

    def secure(self, socket: zmq.Socket[bytes], door: str, admitted: Collection[str] | None = None) -> Still:
        """Have a socket guarded that is about to bind; return who tells whether a sender is still let in.

        `admitted` are the neighbours that may come in; None is all of them.
        """
        if self._gatekeeper is None:
            self._gatekeeper = Gatekeeper(self._context, self._refused)
        kind = NORTH if door == NORTH else "peers"
        today = AppsFile(self._settings.certs / "apps.json") if door == NORTH else self._neighbours(admitted)
        known = Known(kind, today, self.keys.doors, self._clock, self._monotonic)
        self._gatekeeper.guard(door, known)
        secure_server(socket, self._pair(door), door)
        self._start()
        return known.still

    def bound(self, socket: zmq.Socket[bytes], door: str, endpoint: str, again: Rebind | None = None) -> None:
        """Know of a socket that has bound, so that it can be bound anew."""
        self._bound.append((door, endpoint, again or (lambda pair, where: rebind(socket, pair, where))))

    def dial(self, asker: Callable[[KeyPair, str], Asker], server_key: str) -> Asker:
        """Return the caller that `asker` makes with our pair and the server's key of today."""
        peer = self._peer_of.get(server_key, "")
        made = asker(self.keys.own, self.keys.key_of(peer) if peer else server_key)
        if peer:
            self._lines.append((peer, made))
            if peer in self.keys.shut_out:
                made.hang_up()
        self._start()
        return made

    def connect(self, socket: zmq.Socket[bytes], endpoint: str, server_key: str) -> None:
        """Connect a socket of a layer's own; to a neighbour that is shut out it stays unconnected."""
        peer = self._peer_of.get(server_key, "")
        secure_client(socket, self.keys.own, self.keys.key_of(peer) if peer else server_key)
        if peer not in self.keys.shut_out:
            socket.connect(endpoint)

    def close(self) -> None:
        """Let nobody in any more. The sockets are their owners'."""
        if self._timer is not None:
            self._timer.cancel()
        if self._gatekeeper is not None:
            self._gatekeeper.close()

    def _neighbours(self, admitted: Collection[str] | None) -> Names:
        made: tuple[Mapping[str, str], Mapping[bytes, str]] = {}, {}

        def today() -> Mapping[bytes, str]:
            nonlocal made
            peers = self.keys.peers
            if peers is not made[0]:
                let_in = {name: key for name, key in peers.items() if admitted is None or name in admitted}
                made = peers, {z85.decode(key.encode()): name for name, key in let_in.items() if key}
            return made[1]

        return today

    def _pair(self, door: str) -> KeyPair:
        return self.keys.north if door == NORTH else self.keys.own

    def _start(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)
        changes = self.keys.look()
        if changes:
            self._follow(changes)

    def _follow(self, changes: Changes) -> None:
        extra = {"own": changes.own, "north": changes.north, "peers": ",".join(sorted(changes.peers))}
        self._log.info("keys_changed", extra=extra)
        self._counters["keys_changed"] += 1
        shut = changes.peers & self.keys.shut_out.keys()
        for door, endpoint, again in self._bound:
            # a neighbour that is shut out has connections that stand: with the listener they go
            if changes.north if door == NORTH else changes.own or shut:
                again(self._pair(door), endpoint)
        for peer, asker in self._lines:
            if peer in self.keys.shut_out:
                asker.hang_up()
            elif changes.own or peer in changes.peers:
                asker.redial(self.keys.own, self.keys.key_of(peer))

    def _refused(self, door: str, address: str) -> None:
        self._counters["refused_at_door"] += 1
        self._unsaid += 1
        now = self._monotonic()
        if now >= self._say_at:
            extra = {"door": door, "address": address, "times": self._unsaid}
            self._log.warning("refused_at_door", extra=extra)
            self._say_at, self._unsaid = now + SAY_EVERY, 0
