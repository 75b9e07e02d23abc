"""The applications of a run: a process for each end of each stream, and what they say at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from qkdbus_client import Client, Opened, QoS, Status

from .check import End, Stream
from .networks import Plan
from .reader import Job
from .records import Tail

TIMEOUT = 1000  # ms that a call waits for a key
OPENING = 120.0  # s


class Reading:
    """One application. `tail` is what it has recorded so far."""

    def __init__(self, job: Job) -> None:
        self.job, self.tail = job, Tail(Path(job["record"]))
        command = [sys.executable, "-m", "benchmarks.chaos.reader"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say(json.dumps(job))

    def say(self, line: str) -> None:
        """Tell it something."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Return its answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the application at {self.job['node']} has died")
        return dict(json.loads(line))

    def next_index(self) -> int:
        """Return the index after the highest that it has recorded."""
        return max((got.index for got in self.tail.read().deliveries), default=-1) + 1

    def count(self) -> int:
        """Return how many keys it has recorded."""
        return len(self.tail.read().deliveries)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Crowd:
    """All applications of a run, two for each stream."""

    def __init__(self, plans: Sequence[Plan], credential: Path, records: Path, secret: bytes, pace: float) -> None:
        self.plans = plans
        self.pairs: list[tuple[Reading, Reading]] = []
        self._credential, self._records, self._secret, self._pace = credential, records, secret, pace

    def __enter__(self) -> Self:
        try:
            for number, plan in enumerate(self.plans, 1):
                ksid = self._open(number, plan)
                one, other = (self._start(number, plan, ksid, end) for end in (0, 1))
                self.pairs.append((one, other))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pair in self.pairs:
            for reading in pair:
                reading.close()

    def wait_for(self, indices: Sequence[tuple[int, int]], patience: float) -> list[str]:
        """Wait until each end is so far; return what is not."""
        ends = time.monotonic() + patience
        while True:
            late = [
                f"{name(number, plan)} at {reading.job['node']}: index {reading.next_index()} of {wanted}"
                for number, (plan, pair, both) in enumerate(zip(self.plans, self.pairs, indices, strict=True), 1)
                for reading, wanted in zip(pair, both, strict=True)
                if reading.next_index() < wanted
            ]
            if not late or time.monotonic() > ends or self._trouble():
                return late
            time.sleep(0.2)

    def fresh(self) -> list[tuple[int, int]]:
        """Return, for each stream, indices of which none is agreed yet; of a lazy application's, any new ones."""
        found = []
        for plan, pair in zip(self.plans, self.pairs, strict=True):
            ahead = 1 if "lazy" in plan.how else plan.ahead + 1
            here, there = (reading.next_index() for reading in pair)
            low = max(here, there) if plan.ttl else min(here, there)
            found.append((max(here, low + ahead), max(there, low + ahead)))
        return found

    def finish(self) -> list[Stream]:
        """Have all stop, and both ends of each stream read up to the same index; return what they had."""
        everyone = [reading for pair in self.pairs for reading in pair]
        for reading in everyone:
            reading.say("stop")
        far = [[reading.hear()["next"] for reading in pair] for pair in self.pairs]
        for plan, pair, both in zip(self.plans, self.pairs, far, strict=True):
            for reading in pair:
                reading.say(f"until {0 if plan.ttl else max(both)}")
        streams = []
        for number, (plan, pair, both) in enumerate(zip(self.plans, self.pairs, far, strict=True), 1):
            one, other = (_end(plan, reading, max(both)) for reading in pair)
            streams.append(Stream(name(number, plan), (one, other), plan.ttl))
        return streams

    def _open(self, number: int, plan: Plan) -> str:
        apps = [f"chaos{number}@{node}" for node in plan.ends]
        qos = QoS(key_chunk_size=plan.chunk, timeout=TIMEOUT, ttl=plan.ttl or None)
        with (
            Client(plan.ends[0], file=self._credential, patience=OPENING) as here,
            Client(plan.ends[1], file=self._credential, patience=OPENING) as there,
        ):
            opened = _patiently(lambda: here.open_connect(apps[0], apps[1], qos))
            ksid = opened.ksid
            _patiently(lambda: there.open_connect(apps[0], apps[1], ksid=ksid))
        return str(ksid)

    def _start(self, number: int, plan: Plan, ksid: str, end: int) -> Reading:
        node = plan.ends[end]
        return Reading(
            {
                "node": node,
                "ksid": ksid,
                "credential": str(self._credential),
                "record": str(self._records / f"{number}-{node}.jsonl"),
                "secret": self._secret.hex(),
                "how": plan.how[end],
                "pace": self._pace,
                "ttl": float(plan.ttl),
            }
        )

    def _trouble(self) -> bool:
        return any(reading.tail.read().trouble for pair in self.pairs for reading in pair)


def _patiently(open_connect: Callable[[], Opened]) -> Opened:
    """Open until it is open: on a busy machine key managers need longer than a stream's Timeout to meet."""
    ends = time.monotonic() + OPENING
    while (opened := open_connect()).status not in (Status.SUCCESSFUL, Status.SUCCESSFUL_NO_PEER):
        if time.monotonic() > ends:
            raise RuntimeError(f"no stream within {OPENING:g} s: {opened.status.name}: {opened.reason}")
        time.sleep(0.5)
    return opened


def name(number: int, plan: Plan) -> str:
    """Return what a stream is called."""
    return f"s{number} {plan.ends[0]} - {plan.ends[1]}"


def _end(plan: Plan, reading: Reading, until: int) -> End:
    counted = reading.hear()
    record = reading.tail.read()
    until = 0 if plan.ttl else until
    expired = counted.get("expired", 0)
    return End(reading.job["node"], record.deliveries, record.unanswered, expired, until, record.trouble)
