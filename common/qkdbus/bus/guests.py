"""The door for applications, where one credential may not take what the others need.

Fairness is the rule: messages of all credentials are taken in turn, one of each, however many connections somebody
opens and however fast he sends. As long as nobody else asks, one may have everything. What waits is bounded per
credential; beyond that, and beyond the absolute limits of the network file (if any), calls are refused.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import zmq

from .connections import Connections

if TYPE_CHECKING:
    from ..network.limits import Limits

READ_AHEAD = 4  # times as many messages are read as are taken, when several credentials have some
WAITING_OCTETS = 16 << 20  # of messages of one credential that wait for their turn
TURNED_AWAY = 64  # refusals of one credential in a row that are answered; then silence: it costs less than answers
Frames = list[bytes]


class Bucket:
    """A token bucket: `rate` a second, and what a second gives at once. None: no limit."""

    def __init__(self, rate: float | None, now: float) -> None:
        self._rate, self._left, self._at = rate, rate or 0.0, now

    def take(self, amount: float, now: float) -> bool:
        """Take so much, or nothing when there is not so much. More than a second's worth waits for a full bucket."""
        if self._rate is None:
            return True
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < min(amount, self._rate):
            return False
        self._left -= amount
        return True


@dataclass(slots=True, eq=False)
class _Guest:
    """One credential."""

    calls: Bucket
    octets: Bucket
    waiting: deque[Frames] = field(default_factory=deque)
    size: int = 0  # octets that wait
    turned_away: int = 0  # since one of its messages was taken last


class Guests:
    """Messages of many credentials, taken in turn.

    Args:
        take: carries a message out: user, frames.
        turn_away: answers a message with the reason why it is not carried out: user, frames, reason.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        limits: Limits,
        take: Callable[[str, Frames], None],
        turn_away: Callable[[str, Frames, str], None],
        counters: Counter[str],
        clock: Callable[[], float],
    ) -> None:
        self._limits, self._take, self._turn_away = limits, take, turn_away
        self._counters, self._clock, self._now = counters, clock, clock()
        self._bounded = limits.calls_per_s is not None or limits.octets_per_s is not None
        self._guests: dict[str, _Guest] = {}
        self._in_turn: dict[str, _Guest] = {}  # those with messages that wait, whose turn is next first
        self._several = False  # there was something to choose last time
        self.connections = Connections(socket, limits, counters, clock)

    def ahead(self, most: int) -> int:
        """Return how many messages to read of which `most` will be taken: more, when there are several to choose of."""
        self._now = self._clock()
        return most * READ_AHEAD if self._several else most

    def heard(self, user: str, last: zmq.Frame, frames: Frames) -> None:
        """Let a message wait for its turn, or turn it away; `last` is its last frame."""
        guest = self._guests.get(user)
        if guest is None:
            limits = self._limits
            guest = _Guest(Bucket(limits.calls_per_s, self._now), Bucket(limits.octets_per_s, self._now))
            self._guests[user] = guest
        self.connections.seen(user, frames[0], last, self._now)
        size = len(frames[-1])
        waiting = guest.waiting
        if self._bounded and (reason := self._over(user, guest, size)):
            self._refuse(user, guest, frames, reason)
        elif len(waiting) >= self._limits.unanswered or guest.size + size > WAITING_OCTETS:
            self._refuse(user, guest, frames, f"{len(waiting)} calls of {user!r} wait already; others have their turn")
        else:
            waiting.append(frames)
            guest.size += size
            if len(waiting) == 1:
                self._in_turn[user] = guest

    def serve(self, most: int) -> bool:
        """Take at most so many messages, one of each credential in turn; return whether some still wait."""
        in_turn = self._in_turn
        self._several = len(in_turn) > 1
        while in_turn and most > 0:
            user = next(iter(in_turn))
            guest = in_turn.pop(user)
            alone = not in_turn
            count = min(most, len(guest.waiting)) if alone else 1
            for _ in range(count):
                frames = guest.waiting.popleft()
                guest.size -= len(frames[-1])
                self._take(user, frames)
            most -= count
            guest.turned_away = 0
            if guest.waiting:
                in_turn[user] = guest
        return bool(in_turn)

    def tidy(self) -> None:
        """Forget who has nothing here. Called by a slow timer."""
        if not self._bounded:
            self._guests = dict(self._in_turn)
        self.connections.tidy()

    def close(self) -> None:
        """Take nothing more."""
        self._in_turn.clear()
        self.connections.close()

    def _over(self, user: str, guest: _Guest, size: int) -> str:
        limits = self._limits
        if not guest.calls.take(1, self._now):
            return f"{user!r} asks more often than {limits.calls_per_s:g} times a second (security.limits)"
        if not guest.octets.take(size, self._now):
            return f"{user!r} sends more than {limits.octets_per_s:g} octets a second (security.limits)"
        return ""

    def _refuse(self, user: str, guest: _Guest, frames: Frames, reason: str) -> None:
        self._counters["turned_away"] += 1
        guest.turned_away += 1
        if guest.turned_away <= TURNED_AWAY:
            self._turn_away(user, frames, f"too much at once: {reason}; ask again later")
