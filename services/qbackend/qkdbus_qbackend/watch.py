"""The patience of an exchange: it ends when nothing has moved for a while, or when somebody says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .failure import NoKey

T = TypeVar("T")
PATIENCE = 10.0  # s without progress
RESTLESS = 0.5  # s


class Watch:
    """Watches one exchange. Make it inside a running loop."""

    def __init__(self, monotonic: Callable[[], float], patience: float = PATIENCE) -> None:
        self._monotonic, self._patience = monotonic, patience
        self.restless: Callable[[], None] = lambda: None  # called every RESTLESS s in which nothing moves
        self._last = monotonic()
        self._over: asyncio.Future[NoKey] = asyncio.get_running_loop().create_future()

    def touch(self) -> None:
        """Something has moved."""
        self._last = self._monotonic()

    def end(self, failure: NoKey) -> None:
        """End the exchange with `failure`."""
        if not self._over.done():
            self._over.set_result(failure)

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns; NoKey when patience ends, or what `end` was given."""
        task = asyncio.create_task(work)
        try:
            while True:
                left = self._last + self._patience - self._monotonic()
                if left <= 0:
                    raise NoKey("no progress")
                ends: set[asyncio.Future[Any]] = {task, self._over}
                await asyncio.wait(ends, timeout=min(left, RESTLESS), return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    return task.result()
                if self._over.done():
                    raise self._over.result()
                if self._monotonic() - self._last >= RESTLESS / 2:
                    self.restless()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
