"""What the kernel tells of a process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from qkdbus.signs import STOPPED, blind, look, watch_death, watch_nothing


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def until_state(pid: int, stopped: bool) -> None:
    ends = time.monotonic() + 30
    while (sign := look(pid)) is None or (sign.state in STOPPED) is not stopped:
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_stopped_process_is_seen_to_be_stopped(sleeper: subprocess.Popen[bytes]) -> None:
    until_state(sleeper.pid, stopped=False)
    sleeper.send_signal(signal.SIGSTOP)
    until_state(sleeper.pid, stopped=True)
    sleeper.send_signal(signal.SIGCONT)
    until_state(sleeper.pid, stopped=False)


def test_processor_time_is_seen() -> None:
    before = look(os.getpid())
    assert before is not None
    ends = time.process_time() + 0.1
    while time.process_time() < ends:
        pass
    after = look(os.getpid())
    assert after is not None
    assert after.cpu - before.cpu >= 0.05


def test_of_a_process_that_is_not_there_nothing_is_seen(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    assert look(sleeper.pid) is None
    assert blind(os.getpid()) is None


async def test_a_death_is_told_at_once_and_once(sleeper: subprocess.Popen[bytes]) -> None:
    died: asyncio.Queue[None] = asyncio.Queue()
    watch_death(sleeper.pid, lambda: died.put_nowait(None))
    await asyncio.sleep(0.05)
    assert died.empty()
    sleeper.kill()
    await asyncio.wait_for(died.get(), 30)
    await asyncio.sleep(0.05)
    assert died.empty()


async def test_a_watch_that_was_ended_tells_nothing(sleeper: subprocess.Popen[bytes]) -> None:
    died: list[None] = []
    before = len(os.listdir("/proc/self/fd"))
    unwatch = watch_death(sleeper.pid, lambda: died.append(None))
    unwatch()
    unwatch()
    sleeper.kill()
    sleeper.wait()
    await asyncio.sleep(0.05)
    assert died == []
    assert len(os.listdir("/proc/self/fd")) == before


async def test_nobody_can_be_watched_who_is_not_there(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    for watch, pid in ((watch_death, sleeper.pid), (watch_death, 1 << 40), (watch_nothing, os.getpid())):
        watch(pid, lambda: None)()
