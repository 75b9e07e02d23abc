"""Waiting for what must come about, with a patience that is about machines and not about layers."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

from .check import Breach

WITHIN = 60.0  # s, for whatever has to come about: machines may be slow, and silence is a finding
LOOK = 0.05


async def until(true: Callable[[], object | Awaitable[object]], expected: str, within: float = 0.0) -> None:
    """Look again and again until something is true. Breach when it does not come about within so many s (WITHIN)."""
    within = within or WITHIN
    ends = time.monotonic() + within
    while True:
        found = true()
        if await found if inspect.isawaitable(found) else found:
            return
        if time.monotonic() > ends:
            raise Breach(expected, f"it did not come about in {within:g} s")
        await asyncio.sleep(LOOK)
