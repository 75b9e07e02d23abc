"""Turns of processes: so many at once, given back by whoever dies, and not waited for when one was stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qkdbus_qbackend.emulators.simulaqron import turns as module
from qkdbus_qbackend.emulators.simulaqron.turns import Turns

HOLDER = """
import asyncio, sys, time
from pathlib import Path
from qkdbus_qbackend.emulators.simulaqron.turns import Turns
turns = Turns(Path(sys.argv[1]), most=1)
asyncio.run(turns.take())
print("has it", flush=True)
time.sleep(600)
"""

QUEUER = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
print("waits", flush=True)
fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
time.sleep(600)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "turns"


@pytest.fixture
def holder(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, that has the only turn."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


async def test_no_more_have_a_turn_than_there_are(file: Path) -> None:
    turns = Turns(file, most=2)
    first, second = await turns.take(), await turns.take()
    assert {first, second} == {0, 1}
    third = asyncio.create_task(turns.take())
    assert not (await asyncio.wait({third}, timeout=0.3))[0]
    turns.give_back(first)
    assert await third == first
    turns.close()


async def test_those_of_one_process_are_served_in_the_order_in_which_they_came(file: Path) -> None:
    turns, served = Turns(file, most=1), []

    async def one(number: int) -> None:
        turn = await turns.take()
        served.append(number)
        turns.give_back(turn)

    await asyncio.gather(*map(one, range(10)))
    assert served == list(range(10))
    turns.close()


async def test_a_process_waits_for_another_and_goes_on_when_that_has_died(
    file: Path, holder: subprocess.Popen[str]
) -> None:
    turns = Turns(file, most=1)
    mine = asyncio.create_task(turns.take())
    assert not (await asyncio.wait({mine}, timeout=0.5))[0]
    holder.kill()
    assert await asyncio.wait_for(mine, 20) == 0
    turns.close()


async def test_one_that_was_stopped_is_not_waited_for(file: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    turns, began = Turns(file, most=1, patience=300.0), time.monotonic()
    assert await turns.take() is None
    assert time.monotonic() - began < 60
    turns.close()


async def test_as_long_as_a_turn_changes_hands_it_is_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLDERS_EVERY", 1)
    queue = [subprocess.Popen([sys.executable, "-c", QUEUER, str(file)], stdout=subprocess.PIPE) for _ in range(3)]
    turns, left = Turns(file, most=1, patience=3.0), list(queue)
    try:
        for process in queue:
            assert process.stdout is not None
            assert process.stdout.readline() == b"waits\n"
        while not turns._holders()[0]:
            await asyncio.sleep(0.01)
        mine = asyncio.create_task(turns.take())
        while left:
            assert not (await asyncio.wait({mine}, timeout=1.5))[0]
            now_it = next(process for process in left if process.pid == turns._holders()[0])
            now_it.kill()
            now_it.wait()
            left.remove(now_it)
        assert await asyncio.wait_for(mine, 20) == 0
    finally:
        for process in queue:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]
        turns.close()


async def test_whoever_sees_no_turn_change_hands_for_long_goes_on_without(
    file: Path, holder: subprocess.Popen[str]
) -> None:
    turns = Turns(file, most=1, patience=0.2)
    turn = await asyncio.wait_for(turns.take(), 60)
    assert turn is None
    turns.give_back(turn)  # nothing
    turns.close()


async def test_where_nothing_is_shared_nobody_waits(tmp_path: Path) -> None:
    for turns in (Turns(), Turns(tmp_path / "no such folder" / "turns", most=1)):
        assert [await turns.take() for _ in range(3)] == [None] * 3
        turns.close()
