"""What a link's last minute was like: is the peer there, do exchanges succeed, at which rate. Volatile."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from qkdbus.wire.record_pb2 import BlockRecord

SILENT_AFTER = 3.5  # s; the other end speaks every second
FIRST_PAUSE = 0.2  # s after a failed exchange; doubles
LONGEST_PAUSE = 5.0
AT_ONCE = 3  # times in a row that an exchange is tried again at once, when it was only a worker that failed
TOGETHER = 0.1  # s: what one worker was doing is lost at once, and counts once
RATE_OVER = 60.0  # s


@dataclass(slots=True)
class Totals:
    """Exchanges since the service started."""

    blocks: int = 0
    failed: int = 0
    alarms: int = 0
    length: int = 0  # key bits
    leaked: int = 0
    created: int = 0
    sifted_out: int = 0
    disclosed: int = 0
    kept: int = 0
    qber: float = 0.0
    emulator: str = ""
    last: BlockRecord | None = None  # of the last exchange that came to an estimate, with a block or without


class LinkHealth:
    """Liveness of the peer and of the exchanges. Times are monotonic, in s.

    Attributes:
        alarm: why no key may come of the link now ("" when it may).
    """

    def __init__(self, now: float) -> None:
        self.totals = Totals()
        self.alarm = ""
        self._since = now
        self._heard_at: float | None = None
        self._pause = 0.0
        self._not_before = now
        self._agains = 0  # tries at once since the last block
        self._again_at = float("-inf")
        self._formed: deque[tuple[float, int]] = deque()

    # --- the peer

    def heard(self, now: float) -> bool:
        """The peer spoke; return whether it has just come back."""
        back = not self.present(now)
        self._heard_at = now
        if back:
            self._pause = 0.0
            self._not_before = now
        return back

    def present(self, now: float) -> bool:
        """Tell whether the peer has spoken lately."""
        return self._heard_at is not None and now - self._heard_at < SILENT_AFTER

    # --- exchanges

    def formed(self, record: BlockRecord, bits: int, now: float) -> bool:
        """An exchange gave a block; return whether that ends an alarm."""
        self._count(record)
        self.totals.blocks += 1
        self.totals.length += bits
        self._formed.append((now, bits))
        self._agains = 0
        self._pause = 0.0
        self._not_before = now
        cleared, self.alarm = bool(self.alarm), ""
        return cleared

    def failed(self, now: float, record: BlockRecord | None = None, alarm: str = "", *, again: bool = False) -> float:
        """An exchange gave no key; return for how long no other should begin, s.

        `again`: only its worker was at fault, and there is another one. Not believed for ever.
        """
        if record is not None:
            self._count(record)
        self.totals.failed += 1
        self.alarm = alarm or self.alarm
        if again and not alarm and self._again(now):
            return 0.0
        if now >= self._not_before:  # of several that fail together one counts
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
            self._not_before = now + self._pause
        return self._not_before - now

    def _again(self, now: float) -> bool:
        if now - self._again_at > TOGETHER:
            self._agains += 1
            self._again_at = now
        return self._agains <= AT_ONCE and now >= self._not_before

    def alarmed(self, reason: str) -> bool:
        """The other end of an exchange raised an alarm; return whether this end has none yet."""
        new, self.alarm = not self.alarm, reason
        return new

    def measured(self, record: BlockRecord) -> None:
        """An exchange whose failure was counted already says what it saw."""
        self._count(record)

    def may_start(self, now: float) -> bool:
        """Tell whether an exchange may begin: somebody is there, and the pause is over."""
        return self.present(now) and now >= self._not_before

    def _count(self, record: BlockRecord) -> None:
        totals = self.totals
        totals.created += record.created
        totals.sifted_out += record.sifted_out
        totals.disclosed += record.disclosed
        totals.kept += record.kept
        totals.leaked += record.leaked
        totals.emulator = record.emulator or totals.emulator
        if record.disclosed:  # one that ended before anything was estimated tells nothing of the link
            totals.last = record
            totals.qber = record.qber

    # --- reports

    def rate(self, now: float) -> float:
        """Return the key bits formed per s over the last minute, or since the start if that is later."""
        while self._formed and self._formed[0][0] < now - RATE_OVER:
            self._formed.popleft()
        over = min(RATE_OVER, max(now - self._since, 1.0))
        return sum(bits for _, bits in self._formed) / over

    def state(self, now: float, *, agreed: bool) -> str:
        """Return up, alarm, silent (the peer does not answer) or down (no epoch agreed yet)."""
        if not self.present(now):
            return "silent"
        if not agreed:
            return "down"
        return "alarm" if self.alarm else "up"
