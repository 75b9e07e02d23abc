"""What the dispatcher says of its workers in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qkdbus.runtime import Room
from qkdbus.runtime.health import part

from .service import Dispatcher
from .workers import Worker

COUNTED = ("done", "failed", "lost", "slow")


def measure(room: Room, dispatcher: Dispatcher, workers: Sequence[Worker]) -> None:
    """Have `describe` tell of jobs and of each worker."""
    gauges = room.gauges
    gauges["jobs_running"] = lambda: float(dispatcher.running)
    gauges["jobs_waiting"] = lambda: float(dispatcher.waiting)
    for worker in workers:
        for field in COUNTED:
            room.totals[part("worker_exchanges", worker=worker.number, outcome=field)] = partial(_count, worker, field)
        gauges[part("worker_up", worker=worker.number)] = partial(_lives, worker)
        gauges[part("worker_exchanges_running", worker=worker.number)] = partial(_load, worker)
        gauges[part("worker_capacity", worker=worker.number)] = partial(_capacity, worker)


def _count(worker: Worker, field: str) -> int:
    return int(getattr(worker, field))


def _lives(worker: Worker) -> float:
    return float(worker.lives)


def _load(worker: Worker) -> float:
    return float(worker.running)


def _capacity(worker: Worker) -> float:
    return float(worker.capacity)
