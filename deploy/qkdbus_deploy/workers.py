"""What dispatchers say: how each node's qbackend workers do, and which jobs of its links run and wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qkdbus.wire.dispatcher_pb2 import Workers


@dataclass(frozen=True)
class WorkerStatus:
    """One qbackend worker, as its dispatcher sees it.

    Attributes:
        state: unknown (never heard), waiting (up, not ready), ready, silent (lost).
        running, reserved, capacity: exchanges under way, promised to jobs that begin soon, and at most at once.
        done, failed: exchanges with a block, and without, since the dispatcher started.
        lost: times that it died, or hung.
        slow: exchanges taken away from it because others were faster.
        last_choice: that was of late; it gets work where no other has room.
    """

    node: str
    worker: int
    state: str
    running: int
    reserved: int
    capacity: int
    done: int
    failed: int
    lost: int
    slow: int
    last_choice: bool


@dataclass(frozen=True)
class JobsStatus:
    """The jobs of one link at one node's dispatcher.

    Attributes:
        running, waiting: under way, and in line for a worker.
        priority, longest: the highest of those that wait, and s that the first of them has waited.
        done: with a block.
        lost: whose worker was lost or too slow.
        seconds: that an exchange took of late (median).
    """

    node: str
    peer: str
    running: int
    waiting: int
    priority: int
    longest: float
    done: int
    lost: int
    seconds: float


def workers(node: str, said: object) -> list[WorkerStatus]:
    """Read a dispatcher's answer; nothing when it gave none."""
    found = said.workers if isinstance(said, Workers) else ()
    return [WorkerStatus(node, **_plain(WorkerStatus, one)) for one in found]


def jobs(node: str, said: object) -> list[JobsStatus]:
    """Read a dispatcher's answer; nothing when it gave none."""
    found = said.links if isinstance(said, Workers) else ()
    return [JobsStatus(node, **_plain(JobsStatus, one)) for one in found]


def _plain(kind: Any, said: Any) -> dict[str, Any]:
    return {name: getattr(said, name) for name in kind.__dataclass_fields__ if name != "node"}
