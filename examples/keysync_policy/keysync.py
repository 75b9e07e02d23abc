"""A keysync that keeps promises first: what Min_bps of a stream's QoS says, and only then priority.

Each stream earns credit at its Min_bps while it has room for key. Credit is served first, in proportion to what
each stream is owed; what is left goes by priority, as in the built-in keysync. Only the arbiter's policy counts: its
decision names the bits, and the other end follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qkdbus.runtime import Room, Service, main
from qkdbus_keysync import build as built_in
from qkdbus_keysync.policy import Need, share


class PromisesFirst:
    """Shares out the key of one link."""

    def __init__(self) -> None:
        self._credit: dict[int, float] = {}  # bits, by stream
        self._at = 0.0

    def share(self, bits: int, needs: Sequence[Need], now: float) -> Mapping[int, int]:
        """Return how many chunks each stream gets."""
        passed, self._at = max(0.0, now - self._at) if self._at else 0.0, now
        earned = {need.sid: self._credit.get(need.sid, 0.0) + passed * need.min_bps for need in needs}
        self._credit = {need.sid: min(earned[need.sid], need.bits) for need in needs}

        owed = [need._replace(priority=0, room=int(self._credit[need.sid]) // (8 * need.size)) for need in needs]
        given = share(bits, [need for need in owed if need.room])
        for need in needs:
            self._credit[need.sid] -= 8 * need.size * given.get(need.sid, 0)
            bits -= 8 * need.size * given.get(need.sid, 0)
        if any(need.room > given.get(need.sid, 0) for need in owed):
            return given  # a chunk that does not fit yet: what there is stays for it
        others = [need._replace(room=need.room - given.get(need.sid, 0)) for need in needs]
        more = share(bits, [need for need in others if need.room])
        return {need.sid: given.get(need.sid, 0) + more.get(need.sid, 0) for need in needs}


def build(room: Room) -> Service:
    """Wire the built-in keysync with this policy, one for each link."""
    return built_in.build(room, PromisesFirst)


if __name__ == "__main__":
    main("keysync", build)
