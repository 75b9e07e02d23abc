"""A keysync whose two ends differ: the follower has another first bit in each chunk."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus_keysync import end
from qkdbus_keysync.build import build
from qkdbus_keysync.replay import Replay


class Differs(Replay):
    """Applies entries, and turns a bit over at the follower."""

    def _store_cut(self, row: Any, cut: Any, seq: int, front: memoryview, *rest: Any) -> None:
        bits = bytearray(front)
        if self._at_once and bits:
            bits[0] ^= 1
        super()._store_cut(row, cut, seq, memoryview(bytes(bits)), *rest)


if __name__ == "__main__":
    end.Replay = Differs  # type: ignore[attr-defined]
    main("keysync", build)
