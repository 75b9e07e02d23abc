"""What time it is at a node: the date, which may be wrong and may jump, and a time that only passes.

The date is for people: events, records, "ready since". Whatever lasts (a key's time to live, a deadline, a grace) is
counted in time that passes: nobody's key may die, or live on, because somebody has set the machine's clock.

For experiments a node's date can be put wrong: `qkdbus clock NODE 3600` writes so many seconds into `clock-offset` in
the folder of its sockets (`run` in node.yaml), and `--right` takes the file away. Its services look once a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

OFFSET = "clock-offset"
LOOK_EVERY = 1.0  # s


class Date:
    """Unix time as this node has it: the machine's, and what the file says on top. Call it."""

    def __init__(
        self,
        file: Path,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._wall, self._monotonic = file, wall, monotonic
        self._offset, self._look_at = 0.0, -1.0

    def __call__(self) -> float:
        """Return Unix time, s."""
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._offset = read(self._file)
        return self._wall() + self._offset


def lasting(
    folder: Path,
    boot_id: str,
    date: Callable[[], float],
    elapsed: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
) -> Callable[[], float]:
    """Return a clock that never jumps, and is the same for all services of a node, however often they start.

    It says what the date was when the first of them started since the machine did, and how long ago that is (the
    time that the machine slept, too). After a reboot it begins anew with the date. That first date is kept in `folder`.
    OSError when it cannot be.
    """
    file = folder / f"clock-{boot_id}"
    if not file.exists():
        _first(file, date() - elapsed())
    began = float(file.read_text())
    return lambda: began + elapsed()


def _first(file: Path, began: float) -> None:
    """Put the number there, complete and in one step, unless another service was quicker."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in file.parent.glob("clock-*"):  # of other boots
        if old != file:
            old.unlink(missing_ok=True)
    mine = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        number = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "w") as out:
            out.write(repr(began))
        with suppress(FileExistsError):
            os.link(mine, file)
    finally:
        mine.unlink(missing_ok=True)


def read(file: Path) -> float:
    """Return by how much a node's date is off, s, as that file says."""
    try:
        return float(file.read_text())
    except (OSError, ValueError):  # hardly ever there; half a number is read whole in a second
        return 0.0
