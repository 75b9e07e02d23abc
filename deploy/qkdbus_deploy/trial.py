"""Key streams tried at both ends: every key fetched twice, compared, and its pairs counted.

This is the functional validation of Appl. Sci. 2024, 14, 1018, section 5.2, as a function.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from qkdbus.errors import Failed, QkdbusError
from qkdbus_client import Client, QoS, Status

METADATA = 4096  # characters of metadata we can take with a key
LOOK = 0.05  # s between looks at the threads, so that Ctrl-C is heard


@dataclass(frozen=True)
class Wish:
    """A stream to try: `count` keys of `chunk` octets between two neighbours."""

    source: str
    destination: str
    count: int = 20
    chunk: int = 32
    patience: float = 60.0  # s for one key

    @property
    def title(self) -> str:
        """The two ends, for a person."""
        return f"{self.source}-{self.destination}"


@dataclass
class Result:
    """What became of a stream. Counts are those of all exchanges that gave bits to its keys.

    Attributes:
        equal: how many indices had the same key at both ends.
        seconds: from open_connect until both ends had every key.
        moments: s after the open at which the source had its n-th key.
        blocks: block id -> totals of that exchange (created, sifted_out, disclosed, kept, qber).
    """

    wish: Wish
    equal: int = 0
    seconds: float = 0.0
    moments: list[float] = field(default_factory=list)
    blocks: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Whether every key arrived at both ends, equal."""
        return not self.trouble and self.equal == self.wish.count

    def total(self, what: str) -> int:
        """Sum a count over the exchanges."""
        return sum(int(block[what]) for block in self.blocks.values())

    @property
    def qber(self) -> float:
        """Of all disclosed bits."""
        disclosed = self.total("disclosed")
        return sum(b["qber"] * b["disclosed"] for b in self.blocks.values()) / disclosed if disclosed else 0.0

    @property
    def rate(self) -> float:
        """Delivered key bits per second."""
        return 8 * self.wish.chunk * self.wish.count / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """The result as plain data; no key material."""
        return {
            "stream": self.wish.title,
            "keys": self.wish.count,
            "key_bits": 8 * self.wish.chunk,
            "equal": self.equal,
            "seconds": round(self.seconds, 3),
            "seconds_per_key": round(self.seconds / self.wish.count, 4),
            "bits_per_second": round(self.rate, 1),
            **{what: self.total(what) for what in ("created", "sifted_out", "disclosed", "kept")},
            "qber": round(self.qber, 5),
            "blocks": len(self.blocks),
            "trouble": self.trouble,
        }


def try_streams(
    home: Path, network: str, wishes: Sequence[Wish], tell: Callable[[Sequence[Result]], None] = lambda results: None
) -> list[Result]:
    """Run all streams at once, each end in a thread of its own; `tell` sees the results grow."""
    trials = [_Trial(home, network, wish) for wish in wishes]
    threads = [threading.Thread(target=work, daemon=True) for trial in trials for work in (trial.source, trial.sink)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tell([trial.result for trial in trials])
        time.sleep(LOOK)
    tell([trial.result for trial in trials])
    return [trial.finished() for trial in trials]


class _Trial:
    """One stream: two threads and what they found. Keys are compared at once and never kept."""

    def __init__(self, home: Path, network: str, wish: Wish) -> None:
        self._home, self._network, self._wish = home, network, wish
        self._ksid: UUID | None = None
        self._opened = threading.Event()
        self._keys: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._began = time.perf_counter()
        self.result = Result(wish)

    def source(self) -> None:
        """Open the stream and fetch its keys."""
        self._run(self._wish.source, self._open)

    def sink(self) -> None:
        """Wait for the stream's id, attach, and fetch its keys."""
        self._run(self._wish.destination, self._attach)

    def finished(self) -> Result:
        """The result, after both threads have ended."""
        if not self.result.trouble and self._keys:
            self.result.trouble = f"{len(self._keys)} keys came at one end only"
        self._keys.clear()
        return self.result

    def _open(self, client: Client) -> None:
        wish = self._wish
        qos = QoS(key_chunk_size=wish.chunk, timeout=2_000, ttl=3600)
        opened = client.open_connect(f"app@{wish.source}", f"app@{wish.destination}", qos)
        if opened.status not in (Status.SUCCESSFUL, Status.SUCCESSFUL_NO_PEER):
            raise Failed(f"open_connect at {wish.source}: {opened.status.name}: {opened.reason}")
        self._ksid = opened.ksid
        self._opened.set()

    def _attach(self, client: Client) -> None:
        wish = self._wish
        if not self._opened.wait(wish.patience):
            raise Failed(f"{wish.source} did not open the stream")
        opened = client.open_connect(f"app@{wish.source}", f"app@{wish.destination}", ksid=self._ksid)
        if opened.status != Status.SUCCESSFUL:
            raise Failed(f"open_connect at {wish.destination}: {opened.status.name}: {opened.reason}")

    def _run(self, node: str, begin: Callable[[Client], None]) -> None:
        try:
            with Client(node, network=self._network, home=self._home) as client:
                begin(client)
                for _ in range(self._wish.count):
                    self._fetch(client, node)
                assert self._ksid is not None
                client.close(self._ksid)
        except QkdbusError as error:
            self.result.trouble = self.result.trouble or str(error)
            self._opened.set()

    def _fetch(self, client: Client, node: str) -> None:
        ends = time.perf_counter() + self._wish.patience
        while True:
            assert self._ksid is not None, "the other end did not open"
            got = client.get_key(self._ksid, metadata_size=METADATA)
            if got.status == Status.SUCCESSFUL:
                return self._compare(node, got.index, got.key, got.metadata)
            if time.perf_counter() > ends or self.result.trouble:
                raise Failed(f"get_key at {node}: {got.status.name}: {got.reason}")

    def _compare(self, node: str, index: int, key: bytes, metadata: Mapping[str, Any]) -> None:
        with self._lock:
            self.result.seconds = time.perf_counter() - self._began
            if node == self._wish.source:
                self.result.moments.append(self.result.seconds)
                if "block_id" in metadata:
                    self.result.blocks[str(metadata["block_id"])] = metadata
            other = self._keys.pop(index, None)
            if other is None:
                self._keys[index] = key
            elif hmac.compare_digest(other, key):
                self.result.equal += 1
            else:
                self.result.trouble = f"index {index} has two different keys"
