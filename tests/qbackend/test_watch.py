"""The patience of an exchange."""

from __future__ import annotations

import asyncio
import time

import pytest

from qkdbus_qbackend import watch as watch_module
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.watch import Watch


async def test_what_the_work_returns_is_returned() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await Watch(time.monotonic, 1.0).guard(work()) == 7


async def test_work_that_does_not_move_is_given_up_and_cancelled() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(NoKey, match="no progress"):
        await Watch(time.monotonic, 0.05).guard(work())
    assert ended == ["cancelled"]


async def test_work_that_moves_may_take_longer_than_the_patience() -> None:
    watch = Watch(time.monotonic, 0.1)

    async def work() -> str:
        for _ in range(6):
            await asyncio.sleep(0.03)
            watch.touch()
        return "done"

    assert await watch.guard(work()) == "done"


async def test_the_other_end_is_reminded_while_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "RESTLESS", 0.02)
    watch, reminders = Watch(time.monotonic, 0.2), []
    watch.restless = lambda: reminders.append(1)
    with pytest.raises(NoKey):
        await watch.guard(asyncio.Event().wait())
    assert 4 <= len(reminders) <= 10


async def test_an_exchange_that_was_ended_from_outside_says_why() -> None:
    watch = Watch(time.monotonic, 5.0)
    asyncio.get_running_loop().call_later(0.01, watch.end, NoKey("aborted"))
    with pytest.raises(NoKey, match="aborted"):
        await watch.guard(asyncio.Event().wait())
