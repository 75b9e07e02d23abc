"""What the network is asked, all the while: keys at both ends of every link, streams, credentials, swaps."""

from __future__ import annotations

import hashlib
import itertools
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from qkdbus.errors import QkdbusError, Silent, Unauthorised
from qkdbus_client import Client, QoS, Status
from qkdbus_deploy import credentials
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.sandbox import Sandbox

from .echo import Echo

LINKS = (("Alice", "Bob"), ("Bob", "Charlie"), ("Alice", "Charlie"))
NETWORK = """\
qkdbus_version: 1
name: soak
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob, Charlie]}
  - {node_name: Bob, neighbour_nodes: [Alice, Charlie]}
  - {node_name: Charlie, neighbour_nodes: [Alice, Bob]}
links:
  - {between: [Alice, Bob], block_bits: 1024}
  - between: [Bob, Charlie]
    emulator: photonic
    protocol: bbm92
    security: asymptotic
    photonic:
      {preset: wengerowsky-2019, clock: 0.05, block: 16384, source: {rate_hz: 2.0e7}, fibre: {length_km: 20}}
  - {between: [Alice, Charlie], emulator: ideal, block_bits: 131072}
buffers: {window_bytes: 16384, close_grace_s: 5}
"""
FAST = ("Alice", "Charlie")  # the link on which a call need not wait for key: its latency is measured
CHUNK, MANY = 16, 8  # octets of a key, keys in one call of get_keys
PACE = 0.025  # s between two calls of one reader, and between two to a bare echo
OPEN_PACE, CREDENTIAL_PACE, SWAP_EVERY = 1.0, 10.0, 150.0  # s
SWAPPED = ("Charlie", "dispatcher")
PATIENCE = 60.0  # s
Index = tuple[UUID, int]


class Ledger:
    """What came, and whether the two ends agree: what both have is forgotten, so that it does not grow itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alone: dict[Index, bytes] = {}
        self.compared = 0
        self.counts: dict[str, int] = {}
        self.latencies: list[float] = []
        self.echoes: list[float] = []
        self.troubles: list[str] = []

    def key(self, ksid: UUID, index: int, key: bytes) -> None:
        """One end has got a key."""
        digest = hashlib.sha256(key).digest()
        with self._lock:
            other = self._alone.pop((ksid, index), None)
            if other is None:
                self._alone[ksid, index] = digest
            else:
                self.compared += 1
                if other != digest:
                    self.troubles.append(f"index {index} of {ksid} has two keys")

    def count(self, what: str, times: int = 1) -> None:
        """Something happened."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + times

    def took(self, seconds: float) -> None:
        """A call on the fast link was answered."""
        with self._lock:
            self.latencies.append(seconds)

    def echoed(self, seconds: float) -> None:
        """A call to the bare echo was answered."""
        with self._lock:
            self.echoes.append(seconds)

    def trouble(self, text: str) -> None:
        """Something happened that should not."""
        with self._lock:
            self.troubles.append(text)

    def drain(self) -> tuple[list[float], list[float]]:
        """Return the latencies since the last time, and those of the echo."""
        with self._lock:
            taken, self.latencies, self.echoes = (self.latencies, self.echoes), [], []
            return taken


class Load:
    """All that asks, each in a thread of its own."""

    def __init__(self, box: Sandbox, ledger: Ledger) -> None:
        self._box, self._ledger = box, ledger
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        for link in LINKS:
            with self._client(link[0]) as here, self._client(link[1]) as there:
                ksid = self._stream(here, there, (f"reader@{link[0]}", f"reader@{link[1]}"))
            for node in link:
                self._run(self._read, link, node, ksid)
            self._run(self._open_and_close, link)
        self._run(self._credentials)
        self._run(self._swap)
        self._run(self._echo)

    def stop(self) -> None:
        """End; a call under way is waited for."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)

    def _run(self, what: Callable[..., None], *arguments: Any) -> None:
        def guarded() -> None:
            try:
                what(*arguments)
            except (QkdbusError, AssertionError) as error:
                self._ledger.trouble(f"{what.__name__.strip('_')} {arguments[:1]}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _client(self, node: str, **how: Any) -> Client:
        return Client(node, network=self._box.name, home=self._box.home, patience=PATIENCE, **how)

    def _stream(self, here: Client, there: Client, names: tuple[str, str]) -> UUID:
        opened = here.open_connect(*names, QoS(key_chunk_size=CHUNK, timeout=5000, ttl=600))
        assert opened.ksid is not None, opened.reason
        joined = there.open_connect(*names, ksid=opened.ksid)
        assert joined.status == Status.SUCCESSFUL, joined.reason
        return opened.ksid

    # -- what goes on
    def _read(self, link: tuple[str, str], node: str, ksid: UUID) -> None:
        """Fetch every key of a stream at one end: one in a call, and several, in turns."""
        due = 0
        with self._client(node) as client:
            for number in itertools.count():
                if self._over.is_set():
                    return
                began = time.perf_counter()
                if number % 2:
                    got: Any = client.get_keys(ksid, MANY)
                else:
                    got = client.get_key(ksid)
                if got.status == Status.SUCCESSFUL:
                    if link == FAST and number % 2 == 0:
                        self._ledger.took(time.perf_counter() - began)
                    keys = got.keys if number % 2 else (got.key,)
                    if got.index != due:
                        raise AssertionError(f"index {got.index} came where {due} was due at {node}")
                    due += len(keys)
                    for place, key in enumerate(keys):
                        self._ledger.key(ksid, got.index + place, key)
                    self._ledger.count(f"keys {link[0]}-{link[1]}", len(keys))
                elif got.status in (Status.NO_QKD_CONNECTION, Status.STREAM_NOT_FOUND):
                    raise AssertionError(f"{node}: {got.status.name}: {got.reason}")
                time.sleep(PACE)

    def _open_and_close(self, link: tuple[str, str]) -> None:
        """Open a stream at both ends, fetch one key at each, close it: all the time."""
        names = f"guest@{link[0]}", f"guest@{link[1]}"
        with self._client(link[0]) as here, self._client(link[1]) as there:
            while not self._over.is_set():
                ksid = self._stream(here, there, names)
                for client in (here, there):
                    got = client.get_key(ksid)
                    if got.status == Status.SUCCESSFUL:
                        self._ledger.key(ksid, got.index, got.key)
                    else:
                        self._ledger.count(f"guests without a key: {got.status.name}")
                for client in (here, there):
                    assert client.close(ksid).status == Status.SUCCESSFUL
                self._ledger.count("streams opened and closed")
                self._over.wait(OPEN_PACE)

    def _echo(self) -> None:
        """Call what costs nothing but the machine."""
        echo = Echo(self._box.home)
        try:
            while not self._over.wait(PACE):
                self._ledger.echoed(echo.took())
        finally:
            echo.close()

    def _credentials(self) -> None:
        """Let an application in, hear it, and let it in no more."""
        network = self._box.home / self._box.name
        for number in itertools.count():
            if self._over.wait(CREDENTIAL_PACE):
                return
            app = f"guest{number}"
            file = credentials.add(network, "Bob", app)
            with Client("Bob", file=file, patience=10.0) as client:
                assert client.list_streams() == []
                credentials.revoke(network, "Bob", app)
                ends = time.monotonic() + 10
                with suppress(Unauthorised, Silent):
                    while time.monotonic() < ends:
                        client.list_streams()
                        time.sleep(0.05)
                    raise AssertionError("a revoked application is still answered")
            self._ledger.count("credentials added and revoked")

    def _swap(self) -> None:
        """Run another process as a layer, and its own again."""
        node, layer = SWAPPED
        for number in itertools.count():
            if self._over.wait(SWAP_EVERY):
                return
            command = [sys.executable, "-m", f"qkdbus_{layer}"] if number % 2 == 0 else None
            done = Local(self._box.home).swap(self._box.name, node, layer, command, PATIENCE)
            assert not done.unready, done.unready
            self._ledger.count("swaps")
