"""An event loop whose time jumps to when the next thing is due: a test may wait for hours, and a busy machine is no
matter. Only for what waits for no socket, process or thread."""

from __future__ import annotations

import asyncio
import selectors


class Jumping(selectors.SelectSelector):
    """Waits for nothing: time jumps to when the next thing is due."""

    now = 1000.0
    late = 0.0  # s by which the machine lets whatever is due run later

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits, for ever")
        if not ready and timeout:
            self.now += timeout + self.late
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def stall(self, late: float) -> None:
        """Be on a machine that is so busy that all is woken up `late` s after its time."""
        self._jumping.late = late
