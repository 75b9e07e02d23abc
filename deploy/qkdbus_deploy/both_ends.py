"""A key stream read at both ends as fast as its keys come; every key is compared by its digest, and not kept."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from qkdbus.errors import Failed, QkdbusError
from qkdbus_client import Client, QoS, Status

AT_ONCE = 1 << 20  # octets that one call asks for
TIMEOUT = 500  # ms that a call waits for a key


class BothEnds:
    """A stream of keys of `chunk` octets between two neighbours, open for the length of a `with`.

    Attributes:
        equal: keys that were the same at both ends.
        trouble: why reading has ended, "" as long as it goes on.
    """

    def __init__(self, home: Path, network: str, ends: tuple[str, str], chunk: int) -> None:
        self._home, self._network, self._ends, self._chunk = home, network, ends, chunk
        self._over, self._lock = threading.Event(), threading.Lock()
        self._salt = secrets.token_bytes(16)  # digests of keys are of no use to anybody else
        self._alone: dict[int, bytes] = {}
        self._threads: list[threading.Thread] = []
        self.equal = 0
        self.trouble = ""

    def __enter__(self) -> Self:
        ksid = self._open()
        self._threads = [threading.Thread(target=self._read, args=(node, ksid), daemon=True) for node in self._ends]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._alone.clear()

    @property
    def pending(self) -> int:
        """Keys that have come at one end and not yet at the other."""
        return len(self._alone)

    def _open(self) -> UUID:
        source, destination = (f"app@{node}" for node in self._ends)
        ksid: UUID | None = None
        for node in self._ends:
            with self._client(node) as client:
                qos = QoS(key_chunk_size=self._chunk, timeout=TIMEOUT, ttl=3600) if ksid is None else None
                opened = client.open_connect(source, destination, qos, ksid)
            if opened.status not in (Status.SUCCESSFUL, Status.SUCCESSFUL_NO_PEER):
                raise Failed(f"open_connect at {node}: {opened.status.name}: {opened.reason}")
            ksid = opened.ksid
        assert ksid is not None
        return ksid

    def _client(self, node: str) -> Client:
        return Client(node, network=self._network, home=self._home)

    def _read(self, node: str, ksid: UUID) -> None:
        count = max(1, AT_ONCE // self._chunk)
        try:
            with self._client(node) as client:
                while not self._over.is_set():
                    got = client.get_keys(ksid, count)
                    for place in range(got.count):
                        self._compare(got.index + place, got.keys[place])
        except QkdbusError as error:
            self.trouble = self.trouble or f"get_keys at {node}: {error}"

    def _compare(self, index: int, key: bytes) -> None:
        digest = hashlib.blake2b(key, key=self._salt, digest_size=16).digest()
        with self._lock:
            other = self._alone.pop(index, None)
            if other is None:
                self._alone[index] = digest
            elif other == digest:
                self.equal += 1
            else:
                self.trouble = f"key {index} is not the same at both ends"


def wait(reading: BothEnds, until: Callable[[], bool], patience: float, look: float = 0.05) -> bool:
    """Wait up to `patience` s for something; return whether it came. Ends early when reading has."""
    for _ in range(max(1, round(patience / look))):
        if until():
            return True
        if reading.trouble:
            break
        threading.Event().wait(look)
    return until()
