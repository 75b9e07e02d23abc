"""A keysync that gives the same bits twice: each chunk of a cut begins in the middle of the one before."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus_keysync import end
from qkdbus_keysync.build import build
from qkdbus_keysync.replay import Replay


class Twice(Replay):
    """Applies entries, but for the bits of a cut."""

    def _store_cut(self, row: Any, cut: Any, seq: int, front: memoryview, *rest: Any) -> None:
        size, whole = cut.bytes, bytes(front)
        starts = [place * size // 2 for place in range(cut.count)]
        overlapping = b"".join(whole[start : start + size] for start in starts)
        super()._store_cut(row, cut, seq, memoryview(overlapping), *rest)


if __name__ == "__main__":
    end.Replay = Twice  # type: ignore[attr-defined]
    main("keysync", build)
