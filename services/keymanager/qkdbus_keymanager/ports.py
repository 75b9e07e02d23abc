"""What the key manager needs from outside: somebody to ask, and somewhere to run what takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from google.protobuf.message import Message

Publish = Callable[..., None]  # (event, **fields)


class Asks(Protocol):
    """A layer somewhere else. The bus' Asker is one."""

    async def ask(self, method: str, request: Message, *, patience: float | None = None) -> Any:
        """Return the answer. Raises qkdbus.errors; Silent when there is none in time."""


class Tasks:
    """Coroutines in the background. What one of them raises is a fault of ours: `failed` hears of it."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it until it ends, or until `cancel`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """End all of them."""
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
