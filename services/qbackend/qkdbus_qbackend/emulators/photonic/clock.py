"""The clock of a link: how much of its own time the link has in a second of wall clock.

One clock a link and worker; the exchanges under way share it. A batch of pulses or pairs reserves the time that it
takes, and the reservations follow each other. Where the machine cannot keep up, the link's time lags behind, and
`achieved` tells how far. While no exchange is under way the time passes unused: nothing is made up for later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

LONGEST = 1.0  # s of wall clock that a batch takes at most
LONGEST_AT_ONCE = 600.0  # s of link time, where the clock does not wait
CREDIT = 0.25  # s of wall clock by which a late batch may be made up for
MEMORY = 10.0  # s of wall clock over which the achieved speed is averaged


@dataclass(frozen=True, slots=True)
class Slot:
    """A reservation: `seconds` of link time, over when the wall clock shows `end`."""

    end: float
    seconds: float


class LinkClock:
    """A clock that goes `speed` times as fast as the wall clock: 1 real time, 0 as fast as possible.

    Of a node's n workers each has `share` = 1/n of the link's time.
    """

    def __init__(
        self,
        speed: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        share: float = 1.0,
    ) -> None:
        self.speed, self.share = speed, share
        self._monotonic, self._sleep = monotonic, sleep
        self._end = float("-inf")
        self._users = 0
        self._since = 0.0  # an exchange has been under way from then on
        self._seen = 0.0  # wall clock, as far as it has been counted
        self._wall = self._link = 0.0

    @property
    def longest(self) -> float:
        """Seconds of link time that one batch may take."""
        if not self.speed:
            return LONGEST_AT_ONCE
        return LONGEST * self.speed * self.share / max(1, self._users)

    @property
    def achieved(self) -> float:
        """Speed that was reached of late while exchanges were under way, on the scale of `speed`; 0: none were."""
        return self._link / (self._wall * self.share) if self._wall > 0 else 0.0

    def enter(self) -> None:
        """Say that an exchange is under way."""
        if not self._users:
            self._since = self._seen = self._monotonic()
        self._users += 1

    def leave(self) -> None:
        """Say that it is over."""
        self._users -= 1
        if not self._users:
            self.count(0.0)

    def reserve(self, seconds: float) -> Slot:
        """Take `seconds` of link time, after what is reserved already."""
        now = self._monotonic()
        if not self.speed:
            return Slot(now, seconds)
        # A batch that is asked for a little late starts when the one before it ended; one that is later has lost time.
        start = max(self._end, self._since, now - CREDIT) if self._users else max(self._end, now)
        self._end = start + seconds / (self.speed * self.share)
        return Slot(self._end, seconds)

    async def until(self, slot: Slot) -> None:
        """Wait for the end of a reservation."""
        await self._sleep(max(0.0, slot.end - self._monotonic()))
        self.count(slot.seconds)

    def count(self, seconds: float) -> None:
        """Count link time that has passed; the end that does not wait calls this itself."""
        now = self._monotonic()
        self._link += seconds
        self._wall += now - self._seen
        self._seen = now
        while self._wall > MEMORY:
            self._wall, self._link = self._wall / 2, self._link / 2
