"""The arbiter's exchanges under way: volatile, as a job that was only PREPARED dies with the process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qkdbus.wire import keysync_pb2 as wire


@dataclass(slots=True)
class Running:
    """An exchange of this end's. `endpoint` is "" until a worker is reserved."""

    bits: int
    endpoint: str = ""
    priority: int = 0


class JobBook:
    """Jobs that lack a block: this end's own (`running`), or the follower's (`unmatched`); and what it said of them.

    Attributes:
        formed: the follower's blocks of jobs that still run here.
        taken: those of `running` that run at the follower, too, as it said last.
        proved: whether an exchange of this link has given a block since this process started.
    """

    def __init__(self) -> None:
        self.proved = False
        self.taken: set[int] = set()
        self.running: dict[int, Running] = {}
        self.unmatched: dict[int, Running] = {}
        self.formed: dict[int, wire.Formed] = {}

    def start(self, job: int, bits: int, priority: int) -> None:
        """An exchange begins."""
        self.running[job] = Running(bits, priority=priority)

    def follower_formed(self, formed: wire.Formed) -> None:
        """Keep a `formed` that came before the own block, as if the network delivered it again later."""
        if formed.job in self.running:
            self.formed[formed.job] = formed

    def block_arrived(self, job: int) -> wire.Formed | None:
        """The own block is stored: return the follower's `formed` if it came first."""
        self.proved = True
        self.taken.discard(job)
        running = self.running.pop(job, None)
        if running is not None:
            self.unmatched[job] = running
        return self.formed.pop(job, None)

    def end(self, job: int) -> None:
        """Forget a job."""
        self.taken.discard(job)
        self.running.pop(job, None)
        self.unmatched.pop(job, None)
        self.formed.pop(job, None)

    def follower_has(self, jobs: Iterable[int]) -> None:
        """The follower says which jobs run there."""
        self.taken = self.running.keys() & set(jobs)

    def clear(self) -> None:
        """Forget all jobs."""
        self.taken.clear()
        self.running.clear()
        self.unmatched.clear()
        self.formed.clear()
