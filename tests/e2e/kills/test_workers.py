"""Workers are killed and stopped under load: their jobs are done by others, and both ends hold the same keys."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..conftest import Net
    from .conftest import Load

REPLICAS = 3
NETWORK = f"""\
qkdbus_version: 1
name: workers
nodes:
  - {{node_name: Alice, neighbour_nodes: [Bob]}}
  - {{node_name: Bob, neighbour_nodes: [Alice, Charlie]}}
  - {{node_name: Charlie, neighbour_nodes: [Bob]}}
link_defaults: {{emulator: ideal, block_bits: 512}}
layers: {{qbackend: {{replicas: {REPLICAS}, capacity: 2}}}}
buffers: {{window_bytes: 64}}
"""
SECONDS = 45.0
STOPPED = 3.0  # s, at most


def workers(net: Net) -> dict[tuple[str, str], int]:
    return {who: pid for who, pid in net.pids().items() if who[1].startswith("qbackend") and pid}


def signalled(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_may_be_killed_and_stopped_at_any_time(load_of: Callable[[str], Load]) -> None:
    dice = random.Random(20261126)
    load = load_of(NETWORK)
    for source, destination, *counts in (("Alice", "Bob", 1, 1), ("Bob", "Alice", 3, 1), ("Bob", "Charlie", 1, 4)):
        load.add(source, destination, *counts)
    load.wait_for([2] * 6, 60)
    assert len(workers(load.net)) == 3 * REPLICAS
    kills, stops, stopped = 0, 0, dict[int, float]()
    before, ends = sum(load.counts()), time.monotonic() + SECONDS
    try:
        while time.monotonic() < ends:
            time.sleep(dice.choice((0.05, 0.2, 0.5, 1.0)))
            for pid in [pid for pid, until in stopped.items() if until < time.monotonic()]:
                signalled(pid, signal.SIGCONT)
                del stopped[pid]
            pid = dice.choice(list(workers(load.net).values()) or [0])
            if not pid or pid in stopped:
                continue
            if dice.random() < 0.5:
                kills += signalled(pid, signal.SIGKILL)
            else:
                stops += signalled(pid, signal.SIGSTOP)
                stopped[pid] = time.monotonic() + dice.uniform(0.2, STOPPED)
            load.check()
    finally:
        for pid in stopped:
            signalled(pid, signal.SIGCONT)
    load.wait_for([count + 20 for count in load.counts()], 90)
    keys = load.finish() - before
    lost = sum(worker.lost for worker in load.net.status().workers)
    print(f"\n{kills} kills, {stops} stops, {lost} workers lost, {keys} keys: the same at both ends, none missing")
    assert kills > 5
    assert stops > 5
    assert lost > 5


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_jobs_of_a_lost_worker_are_done_by_others(how: signal.Signals, load_of: Callable[[str], Load]) -> None:
    """One worker after the other is lost, at either end of a link, until one is left at each."""
    load = load_of(NETWORK)
    load.add("Alice", "Bob", 1, 1)
    load.wait_for([2, 2], 60)
    running = workers(load.net)
    took = []
    try:
        for who in (("Alice", "qbackend"), ("Bob", "qbackend"), ("Alice", "qbackend.1"), ("Bob", "qbackend.2")):
            began, counts = time.monotonic(), load.counts()
            os.kill(running[who], how)
            load.wait_for([count + 64 // 8 + 5 for count in counts], 60)  # more than was agreed by then
            took.append(time.monotonic() - began)
    finally:
        for pid in running.values():
            signalled(pid, signal.SIGCONT)
    load.finish()
    print(f"\nnew keys at both ends after {how.name}: " + ", ".join(f"{seconds:.2f} s" for seconds in took))
