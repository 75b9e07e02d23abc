"""The patience of an exchange: it ends when nothing has moved for a while, or when somebody says so.

An end in which nothing moves says its last word again now and then. Whoever hears that knows that the other end lives
and waits as he does, for virtual quantum nodes that are slow on a busy machine: it takes longer until he gives up. A
time in which this process did not get to run counts for nobody's silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .failure import NoKey

T = TypeVar("T")
PATIENCE = 10.0  # s without a word of the other end
SLOW = 240.0  # s without progress
RESTLESS, RESTLESS_LAST = 0.5, 2.5  # s


class Watch:
    """Watches one exchange. Make it inside a running loop."""

    def __init__(self, monotonic: Callable[[], float], patience: float = PATIENCE, slow: float = SLOW) -> None:
        self._monotonic, self._patience, self._slow = monotonic, patience, slow
        self.restless: Callable[[], None] = lambda: None  # called now and then, more and more seldom, if nothing moves
        self._last = self._heard = monotonic()
        self._over: asyncio.Future[NoKey] = asyncio.get_running_loop().create_future()

    def touch(self) -> None:
        """Something has moved."""
        self._last = self._heard = self._monotonic()

    def alive(self) -> None:
        """The other end has said what it had said before."""
        self._heard = self._monotonic()

    def end(self, failure: NoKey) -> None:
        """End the exchange with `failure`."""
        if not self._over.done():
            self._over.set_result(failure)

    def _excuse(self, late: float) -> None:
        """This process woke up so late: it could not have heard a word, nor moved."""
        if late > 0:
            now = self._monotonic()
            self._last, self._heard = min(self._last + late, now), min(self._heard + late, now)

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns; NoKey when patience ends, or what `end` was given."""
        task = asyncio.create_task(work)
        pause = RESTLESS
        try:
            while True:
                ends_at = min(self._heard + self._patience, self._last + self._slow)
                began = self._monotonic()
                left = min(ends_at - began, pause)
                if left <= 0:
                    raise NoKey("no progress")
                ends: set[asyncio.Future[Any]] = {task, self._over}
                await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                self._excuse(self._monotonic() - began - left)
                if task.done():
                    return task.result()
                if self._over.done():
                    raise self._over.result()
                if self._monotonic() - self._last >= pause / 2:
                    self.restless()
                    pause = min(2 * pause, RESTLESS_LAST)
                else:
                    pause = RESTLESS
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
