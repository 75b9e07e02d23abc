"""A stock of agreed keys for `benchmarks.get_key`: two nodes, the `ideal` emulator, and everything else for real.

Keys are formed as always (exchange, sifting, estimate, verification, prepare and commit), only faster than over
SimulaQron; a wide window lets keysync keep millions. What one end has taken is fetched at the other and compared.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import zmq

from qkdbus.bus.caller import Caller
from qkdbus.contracts import keymanager, keysync
from qkdbus.errors import Failed, QkdbusError
from qkdbus.network.model import Buffers, LinkSettings, Network, Node
from qkdbus.runtime.settings import NodeSettings, load
from qkdbus.wire.head_pb2 import Describe, Description
from qkdbus.wire.keysync_pb2 import Links, LinkStatusAsked
from qkdbus_client import Client, QoS, Status
from qkdbus_client.access import find
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.sandbox import sandbox

from . import report
from .load import Way

KEY = 32  # bytes
ENDS = ("Alice", "Bob")
AT_ONCE = 16_384  # keys in one call while comparing
BLOCK_BITS = 1 << 23
SAY_EVERY = 5.0  # s
STALLED = 60.0  # s


@dataclass
class Stream:
    """One key stream: how many of its keys the first end has had, and the digests of each stretch."""

    ksid: UUID
    taken: int = 0
    stretches: list[tuple[int, str]] = field(default_factory=list)  # keys, SHA-256 of their bits in order of index


class Stock:
    """The deployed network with its streams. Everything is fetched at Alice first and compared at Bob."""

    def __init__(self, home: Path, name: str, streams: int, per_stream: int) -> None:
        self._home, self._name, self.per_stream = home, name, per_stream
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.settings: dict[str, NodeSettings] = {end: load(home / name / end) for end in ENDS}
        self.streams = [self._open(number) for number in range(streams)]
        self.compared = 0

    def way(self, transport: str) -> Way:
        """Return how to reach Alice's key manager: over "tcp+CURVE", or over "ipc"."""
        if transport == "ipc":
            return Way(endpoint=self.settings["Alice"].ipc("keymanager"), server_key="", public_key="", secret_key="")
        access = find("Alice", self._name, self._home)
        return Way(
            endpoint=access.endpoint,
            server_key=access.server_key,
            public_key=access.public_key,
            secret_key=access.secret_key,
        )

    def fill(self) -> float:
        """Wait until both ends hold the whole stock; return how long that took, s. Failed when it grows no more."""
        whole = len(self.streams) * self.per_stream
        began = grown = told = time.monotonic()
        most = 0
        while (held := min(self._on_disk(end) for end in ENDS)) < whole:
            now = time.monotonic()
            if held > most:
                most, grown = held, now
            elif now - grown > STALLED:
                raise Failed(f"no more than {held:,} of {whole:,} keys are formed; the logs are below {self._home}")
            if now - told >= SAY_EVERY:
                told = now
                report.say(f"  stock: {held:,} of {whole:,} keys at both ends, {now - began:.0f} s")
            time.sleep(0.25)
        return time.monotonic() - began

    def restart(self, layer: str) -> None:
        """Start a layer of Alice's anew: what it held in memory is gone."""
        local = Local(self._home)
        local.stop(self._name, "Alice", layer)
        deployed = local.start(self._name, "Alice", layer)
        if deployed.unready:
            raise Failed(f"{layer} did not come back: {deployed.unready[0].reason}")

    def in_memory(self) -> int:
        """Return how many keys Alice's key manager has taken ahead."""
        asked = self._ask(self.settings["Alice"].ipc("keymanager"), keymanager.CONTRACT, "describe", Describe())
        return int(cast(Description, asked).gauges["keys_buffered"])

    def on_disk(self) -> int:
        """Return how many keys Alice's keysync holds."""
        return self._on_disk("Alice")

    def fullest(self, count: int) -> list[Stream]:
        """Return the `count` streams with the most keys left."""
        return sorted(self.streams, key=self.left, reverse=True)[:count]

    def left(self, stream: Stream) -> int:
        """Return how many keys of a stream Alice may still fetch before Bob has to follow."""
        return self.per_stream - sum(keys for keys, _ in stream.stretches)

    def had(self, stream: Stream, first: int, count: int, digest: str) -> None:
        """Note what a generator fetched at Alice."""
        if first != stream.taken:
            raise Failed(f"a generator began at index {first}, {stream.taken} was due")
        stream.taken += count
        stream.stretches.append((count, digest))

    def compare(self) -> int:
        """Fetch at Bob what was fetched at Alice, and compare; return how many keys. Failed when any differs."""
        with Client("Bob", network=self._name, home=self._home) as bob:
            compared = sum(self._compare(bob, stream) for stream in self.streams)
            bob.get_key(self.streams[0].ksid, index=0)  # settles the call before it, whose keys can then be wiped
        self.compared += compared
        return compared

    def _compare(self, bob: Client, stream: Stream) -> int:
        at = stream.taken - sum(count for count, _ in stream.stretches)
        for count, digest in stream.stretches:
            if not hmac.compare_digest(self._digest(bob, stream, at, count), digest):
                raise Failed(f"keys {at}..{at + count - 1} of a stream differ between the ends")
            at += count
        compared = sum(count for count, _ in stream.stretches)
        stream.stretches.clear()
        return compared

    def _digest(self, bob: Client, stream: Stream, first: int, count: int) -> str:
        digest, at = hashlib.sha256(), first
        while at < first + count:
            got = bob.get_keys(stream.ksid, min(AT_ONCE, first + count - at))
            if got.status != Status.SUCCESSFUL or got.index != at:
                raise Failed(f"at Bob index {got.index} came where {at} was due: {got.status.name} {got.reason}")
            digest.update(b"".join(got.keys))
            at += len(got.keys)
        return digest.hexdigest()

    def _open(self, number: int) -> Stream:
        with (
            Client("Alice", network=self._name, home=self._home) as alice,
            Client("Bob", network=self._name, home=self._home) as bob,
        ):
            names = f"app{number}@Alice", f"app{number}@Bob"
            opened = alice.open_connect(*names, QoS(key_chunk_size=KEY, timeout=5_000, ttl=86_400))
            attached = bob.open_connect(*names, ksid=opened.ksid)
        if attached.ksid is None or attached.status not in (Status.SUCCESSFUL, Status.SUCCESSFUL_NO_PEER):
            raise Failed(f"open_connect: {attached.status.name}: {attached.reason}")
        return Stream(attached.ksid)

    def _on_disk(self, end: str) -> int:
        try:
            links = self._ask(self.settings[end].ipc("keysync"), keysync.CONTRACT, "link_status", LinkStatusAsked())
        except QkdbusError:
            return 0
        return int(cast(Links, links).links[0].buffered_keys)

    def _ask(self, endpoint: str, contract: Any, method: str, request: Any) -> Any:
        caller = Caller(self._context, endpoint, contract, os.urandom(16))
        try:
            return caller.ask(method, request, patience=10.0)
        finally:
            caller.close()


def two_nodes(per_stream: int) -> Network:
    """Return the network: two neighbours and one ideal link, whose streams may keep `per_stream` keys."""
    return Network(
        name="get-key",
        nodes=(
            Node(node_name="Alice", neighbour_nodes=("Bob",)),
            Node(node_name="Bob", neighbour_nodes=("Alice",)),
        ),
        link_defaults=LinkSettings(emulator="ideal", protocol="bbm92", block_bits=BLOCK_BITS),
        buffers=Buffers(window_bytes=per_stream * KEY, default_ttl_s=86_400),
    )


@contextmanager
def stock(streams: int, per_stream: int) -> Iterator[Stock]:
    """Deploy the network, open its streams, and yield it; it is gone afterwards."""
    with sandbox(two_nodes(per_stream)) as box:
        yield Stock(box.home, box.name, streams, per_stream)
