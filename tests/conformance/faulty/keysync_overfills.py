"""A keysync that looks at its own end alone for room: a slow reader at the other end grows without bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qkdbus.runtime import main
from qkdbus_keysync import arbiter
from qkdbus_keysync.build import build
from qkdbus_keysync.planning import Planning


class Hasty(Planning):
    """Plans as if the follower had read all there is."""

    def needs(self, rules: Any, lows: Mapping[int, int]) -> Any:
        return super().needs(rules, {stream.sid: 1 << 30 for stream in self._tables.streams()})


if __name__ == "__main__":
    arbiter.Planning = Hasty  # type: ignore[attr-defined]
    main("keysync", build)
