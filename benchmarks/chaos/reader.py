"""An application at one end of a stream: fetches keys, and records which came and never what they are.

    python -m benchmarks.chaos.reader      (a job as JSON on stdin, then `stop`, then `until N`; answers on stdout)

After `stop` it ends what it has under way and says which index it would have next; after `until N` it reads on until it
has been through all below N, says what its key manager counted, and ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypedDict
from uuid import UUID

from qkdbus.errors import QkdbusError, Refused, Silent, Unauthorised
from qkdbus_client import AsyncClient, Client, Key, Keys, Status

from .records import Recorder

How = Literal["one", "many", "crowd", "lazy"]
PATIENCE = 150.0  # s that one call is repeated: longer than a node is away for
CATCH_UP = 150.0  # s, at the end
AT_ONCE = 4  # keys of a call of `many`, calls of a crowd
BURST, NAP = 10, 1.7  # calls of a lazy application between two naps; a nap in times to live
LOST = "were lost"  # as the key manager says of a stream whose keys are gone


class Job(TypedDict):
    """What to do. `secret` (hexadecimal) keys the digests; `credential` and `record` are files; `pace`, `ttl` in s."""

    node: str
    ksid: str
    credential: str
    record: str
    secret: str
    how: How
    pace: float
    ttl: float


class Reader:
    """Fetches the keys of one end."""

    def __init__(self, job: Job) -> None:
        self._job, self._ksid = job, UUID(job["ksid"])
        self._record = Recorder(Path(job["record"]), bytes.fromhex(job["secret"]))
        self._client = Client(job["node"], file=job["credential"], patience=PATIENCE)
        self._statuses: Counter[str] = Counter()
        self._calls, self._next = 0, 0
        self._trouble = False
        self.stopped = threading.Event()

    def run(self) -> None:
        """Read until told to stop."""
        how = self._job["how"]
        if how == "crowd":
            asyncio.run(self._crowd())
        while not self.stopped.is_set() and not self._trouble:
            self._call(AT_ONCE if how == "many" else 1)
            nap = how == "lazy" and not self._calls % BURST
            self.stopped.wait(NAP * self._job["ttl"] if nap else self._job["pace"])

    def stop(self) -> dict[str, Any]:
        """Say how far it came."""
        return {"next": self._next}

    def until(self, index: int) -> dict[str, Any]:
        """Read on up to there, one by one; say what the key manager counted."""
        ends = time.monotonic() + CATCH_UP
        while self._next < index and not self._trouble:
            if time.monotonic() > ends:
                self._give_up(f"stays at index {self._next} of {index}: {dict(self._statuses)}")
            self._call(1)
        self._record.statuses(self._statuses)
        counted: dict[str, Any] = {}
        with suppress(QkdbusError):
            info = next(i for i in self._client.list_streams() if i.ksid == self._ksid)
            counted = {"delivered": info.delivered, "expired": info.expired, "next_index": info.next_index}
        return {"next": self._next, **counted}

    def _call(self, count: int) -> None:
        self._calls += 1
        call = self._calls
        try:
            if count == 1:
                self._note(call, self._client.get_key(self._ksid))
            else:
                self._note(call, self._client.get_keys(self._ksid, count))
        except QkdbusError as error:
            self._failed(call, count, error)

    async def _crowd(self) -> None:
        client = AsyncClient(self._job["node"], file=self._job["credential"], patience=PATIENCE)
        async with client:
            await asyncio.gather(*(self._one(client) for _ in range(AT_ONCE)))

    async def _one(self, client: AsyncClient) -> None:
        while not self.stopped.is_set() and not self._trouble:
            self._calls += 1
            call = self._calls
            try:
                self._note(call, await client.get_key(self._ksid))
            except QkdbusError as error:
                self._failed(call, 1, error)
            await asyncio.sleep(AT_ONCE * self._job["pace"])

    def _note(self, call: int, got: Key | Keys) -> None:
        at = time.monotonic()
        self._statuses[got.status.name] += 1
        if got.status == Status.SUCCESSFUL:
            keys = got.keys if isinstance(got, Keys) else (got.key,)
            age = got.metadata.get("age") if isinstance(got, Key) else None
            for n, key in enumerate(keys):
                self._record.key(at, call, got.index + n, key, age / 1e3 if isinstance(age, int) else None)
            self._next = max(self._next, got.index + len(keys))
        elif got.status == Status.STREAM_NOT_FOUND or LOST in got.reason:
            self._give_up(f"{got.status.name}: {got.reason}")

    def _failed(self, call: int, count: int, error: QkdbusError) -> None:
        why = f"{type(error).__name__}: {error}"
        self._statuses[type(error).__name__] += 1
        if isinstance(error, Refused | Unauthorised):
            self._give_up(why)
        elif isinstance(error, Silent):
            self._record.silent(time.monotonic(), call, count, why)
        else:
            time.sleep(self._job["pace"])

    def _give_up(self, why: str) -> None:
        self._trouble = True
        self._record.trouble(time.monotonic(), why)


def main() -> None:
    """Carry out a job."""
    reader = Reader(json.loads(sys.stdin.readline()))
    work = threading.Thread(target=reader.run, daemon=True)
    work.start()
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        reader.stopped.set()
        work.join()
        print(json.dumps(reader.stop() if word == "stop" else reader.until(int(number))), flush=True)
        if word == "until":
            return


if __name__ == "__main__":
    main()
