"""The patience of an exchange."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from qkdbus_qbackend import watch as watch_module
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.watch import Watch


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_what_the_work_returns_is_returned() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await Watch(now, 1.0).guard(work()) == 7


async def test_work_that_does_not_move_is_given_up_and_cancelled() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(NoKey, match="no progress"):
        await Watch(now, 0.05).guard(work())
    assert ended == ["cancelled"]


async def test_work_that_moves_may_take_longer_than_the_patience() -> None:
    watch = Watch(now, 0.1)

    async def work() -> str:
        for _ in range(6):
            await asyncio.sleep(0.03)
            watch.touch()
        return "done"

    assert await watch.guard(work()) == "done"


async def test_the_other_end_is_reminded_while_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "RESTLESS", 0.02)
    monkeypatch.setattr(watch_module, "RESTLESS_LAST", 0.08)
    watch, reminders = Watch(now, 0.5), []
    watch.restless = lambda: reminders.append(now())
    with pytest.raises(NoKey):
        await watch.guard(asyncio.Event().wait())
    pauses = [round(later - before, 2) for before, later in itertools.pairwise(reminders)]
    assert pauses[:3] == [0.04, 0.08, 0.08] and len(pauses) in (6, 7), "at first soon, then more and more seldom"


async def test_one_whose_other_end_says_that_it_lives_is_waited_for_longer_but_not_for_ever() -> None:
    watch, began = Watch(now, 0.1, 0.9), now()

    async def words() -> None:
        while True:
            await asyncio.sleep(0.04)
            watch.alive()

    said = asyncio.create_task(words())
    with pytest.raises(NoKey, match="no progress"):
        await watch.guard(asyncio.Event().wait())
    assert now() - began == pytest.approx(0.9, abs=0.01)
    said.cancel()
    silent = now()
    with pytest.raises(NoKey, match="no progress"):
        await Watch(now, 0.1).guard(asyncio.Event().wait())
    assert now() - silent == pytest.approx(0.1, abs=0.01)


async def test_an_exchange_that_was_ended_from_outside_says_why() -> None:
    watch = Watch(now, 5.0)
    asyncio.get_running_loop().call_later(0.01, watch.end, NoKey("aborted"))
    with pytest.raises(NoKey, match="aborted"):
        await watch.guard(asyncio.Event().wait())


async def test_a_time_in_which_this_process_did_not_run_is_nobodys_silence() -> None:
    loop: Any = asyncio.get_running_loop()
    loop.stall(8.0)
    began = now()
    with pytest.raises(NoKey, match="no progress"):
        await Watch(now, 10.0).guard(asyncio.Event().wait())
    assert now() - began >= 30.0, "ten seconds, and what each look came too late"
