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

from qkdbus.signs import COMPUTING, LONGEST, STOPPED, Sign, Silence, blind, look, watch_death, watch_nothing


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


def test_a_thread_that_runs_is_seen_while_the_first_one_sleeps() -> None:
    work = "import threading; threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()"
    with subprocess.Popen([sys.executable, "-c", f"{work}; threading.Event().wait()"]) as busy:
        try:
            ends = time.monotonic() + 30
            while busy_thread_alone(busy.pid) is False:
                assert time.monotonic() < ends
        finally:
            busy.kill()


def busy_thread_alone(pid: int) -> bool:
    """Whether the process computes although its main thread sleeps."""
    with open(f"/proc/{pid}/stat") as stat:
        main = stat.read().rpartition(")")[2].split()[0]
    sign = look(pid)
    return main == "S" and sign is not None and sign.state == "R"


def silence(*rounds: tuple[float, Sign | None], dead: float = 3.0) -> bool:
    """Whether a process is given up that did not answer for so many s, after which it was seen so, again and again."""
    kept = Silence(dead)
    return any(kept.too_long(seconds, sign) for seconds, sign in rounds)


@pytest.mark.parametrize(
    ("rounds", "lost"),
    [
        ([(0.25, None)], False),
        ([(0.25, None)] * 12, True),
        ([(0.25, Sign("T", 1.0))], True),
        ([(0.25, Sign("Z", 1.0))], True),
        ([(0.25, Sign("S", 1.0))] * 11, False),
        ([(0.25, Sign("S", 1.0))] * 12, True),
        ([(0.25, Sign("S", 0.1 * n)) for n in range(14)], False),  # it computes
        (
            [(0.25, Sign("S", 0.1 * n)) for n in range(14)] + [(0.25, Sign("S", 2.0))] * 12,
            True,
        ),  # it did, and hangs now
        ([(1.0, Sign("R", float(n))) for n in range(int(COMPUTING))], False),
        ([(1.0, Sign("R", float(n))) for n in range(int(COMPUTING) + 2)], True),
        ([(1.0, Sign("R", 0.01 * n)) for n in range(int(LONGEST) - 1)], False),  # it does not get to run
        ([(1.0, Sign("D", 1.0))] * int(LONGEST), True),
    ],
)
def test_how_long_one_that_does_not_answer_is_believed_in(rounds: list[tuple[float, Sign | None]], lost: bool) -> None:
    assert silence(*rounds) is lost


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
