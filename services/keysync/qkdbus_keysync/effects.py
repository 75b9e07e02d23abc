"""What a step of the agreement asks of the world, once its transaction is durable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from qkdbus.wire import keysync_pb2 as wire

from .rows import Epoch


class JobKey(NamedTuple):
    """A job of this link: its name is the same at both ends, and never used again."""

    epoch: Epoch
    job: int


class RunJob(NamedTuple):
    """Start this end's exchange of a job. `endpoint` (of the arbiter's worker) at the follower only.

    `priority`: of the neediest stream that it is for.
    """

    key: JobKey
    bits: int
    protocol: str
    endpoint: str
    priority: int = 0


class StopJob(NamedTuple):
    """End this end's exchange of a job; `failed`: it counts as a failure of the link.

    `again`: the fault is a worker's, and the job's next try need not wait.
    """

    key: JobKey
    reason: str
    failed: bool
    again: bool = False


@dataclass(slots=True)
class Effects:
    """Of all steps since the last commit."""

    messages: list[wire.Reconcile] = field(default_factory=list)
    told: dict[bytes, None] = field(default_factory=dict)  # oids whose `take` says something new
    runs: list[RunJob] = field(default_factory=list)
    stops: list[StopJob] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)  # why the epoch changed
    paired: list[tuple[bytes, bytes]] = field(default_factory=list)  # oids of this end; traces
    agreed: list[tuple[int, bytes]] = field(default_factory=list)  # jobs whose block both ends hold; runs
    alarm: str = ""  # why the other end of an exchange has raised one
    ack: bool = False  # to be built when sent: one for a whole drain, and never older than the store
    beat: bool = False
    begin: bool = False
