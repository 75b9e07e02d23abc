"""What lies between the nodes: carries their TCP connections, and cuts, silences or slows a link when told to.

    python -m benchmarks.chaos.relay      (where nodes are, as JSON on stdin, then a state of a link on each line)

Both directions of a link are one thing here: connections that either end has made to the other. A cut ends them and
lets no new one through. Silence keeps them and carries nothing, in one direction or in both, as a cable does that is
pulled out. A delay is that of a longer way (in order), `rate` that of a narrow one. Bytes are never lost or doubled:
TCP would not let that through. To the packets below it the kernel does so, with root (packets.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from .programs import Programs

Came = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Owner = Callable[[str, int], Awaitable[str]]
CHUNK = 64 << 10  # octets
QUEUE = 32  # chunks on their way, each way
LOOK_EVERY = 0.1  # s, at most, between looks at whose connections are whose


class Job(TypedDict):
    """Where nodes are: `ports` of each, `seen` and `own` addresses, and `flows` as [from, to, address]."""

    network: str
    ports: dict[str, list[int]]
    seen: dict[str, str]
    own: dict[str, str]
    flows: list[tuple[str, str, str]]


class State(TypedDict, total=False):
    """What holds for the link `between` two nodes from now on; what is not said is as if there were no fault.

    `quiet` names the nodes whose words do not arrive; `delay`, `jitter` in s, `rate` in octets/s (0: no limit).
    """

    between: tuple[str, str]
    cut: bool
    quiet: list[str]
    delay: float
    jitter: float
    rate: float


@dataclass(eq=False)
class Link:
    """One link, with the connections that are on it."""

    state: State = field(default_factory=lambda: State())
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    wires: set[Wire] = field(default_factory=set)

    def become(self, state: State) -> None:
        """Take a new state."""
        self.state = state
        self.changed.set()
        self.changed = asyncio.Event()
        if state.get("cut"):
            for wire in list(self.wires):
                wire.end()

    async def lets_pass(self, source: str) -> None:
        """Wait until what `source` says arrives."""
        while source in self.state.get("quiet", ()):
            await self.changed.wait()

    def due(self) -> float:
        """Return when what sets out now arrives, monotonic s."""
        return time.monotonic() + self.state.get("delay", 0.0) + self.state.get("jitter", 0.0) * random.random()


class Wire:
    """One connection: from a node, to a node."""

    def __init__(self, link: Link, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._link, self._ends = link, ends

    def end(self) -> None:
        """Cut it."""
        for writer in self._ends:
            writer.transport.abort()

    async def carry(self, source: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what `source` says, until it has said all."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE)
        arriving = asyncio.create_task(self._arrive(source, under_way, writer))
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await under_way.put((self._link.due(), data))
        await under_way.put((0.0, b""))
        await arriving

    async def _arrive(
        self, source: str, under_way: asyncio.Queue[tuple[float, bytes]], out: asyncio.StreamWriter
    ) -> None:
        failed = False
        while (item := await under_way.get())[1]:
            if failed:
                continue
            due, data = item
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._link.lets_pass(source)
            rate = self._link.state.get("rate", 0.0)
            if rate:
                await asyncio.sleep(len(data) / rate)
            try:
                out.write(data)
                await out.drain()
            except OSError:
                failed = True
        self.end()


class Owners:
    """Whose sockets are whose, as /proc says: a connection shows which node has made it.

    To look is work, and connections come in bursts: one look serves all that have come before it.
    """

    def __init__(self, network: Path, names: list[str]) -> None:
        self._programs, self._names = Programs(network), names
        self._looking: asyncio.Task[dict[str, str]] | None = None

    async def of(self, address: str, port: int) -> str:
        """Return the node that has this end of a connection; "" when none has."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return (await self._looking).get(_hexadecimal(address, port), "")

    async def _look(self) -> dict[str, str]:
        await asyncio.sleep(LOOK_EVERY)
        self._looking = None  # who comes from now on needs another look
        owners = dict(self._owners())
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {fields[1]: owners[fields[9]] for fields in lines if fields[9] in owners}

    def _owners(self) -> Iterator[tuple[str, str]]:
        """Go through the sockets of all nodes: inode, node."""
        for name in self._names:
            for _, mark in self._programs.services(name):
                with suppress(OSError):
                    for number in os.listdir(f"/proc/{mark.pid}/fd"):
                        with suppress(OSError):
                            where = os.readlink(f"/proc/{mark.pid}/fd/{number}")
                            if where.startswith("socket:["):
                                yield where[8:-1], name


class Relay:
    """All links of a network. `owner` says which node has the other end of a connection, by address and port."""

    def __init__(self, job: Job, owner: Owner) -> None:
        self._job, self._owner = job, owner
        self._links: dict[frozenset[str], Link] = {}
        self._flows: Mapping[tuple[str, str], str] = {(source, to): address for source, to, address in job["flows"]}

    async def listen(self) -> None:
        """Listen at every door of every node."""
        for node, ports in self._job["ports"].items():
            for port in ports:
                await asyncio.start_server(self._door(node, port), self._job["seen"][node], port)

    def become(self, state: State) -> None:
        """Take a new state of a link."""
        self.link(*state["between"]).become(state)

    def link(self, one: str, other: str) -> Link:
        """Return what is between two nodes."""
        return self._links.setdefault(frozenset((one, other)), Link())

    def _door(self, node: str, port: int) -> Came:
        async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source = await self._owner(*writer.get_extra_info("peername")[:2])
            link = self.link(source, node)
            if link.state.get("cut") or (source, node) not in self._flows:  # nobody's, or a node's own
                writer.transport.abort()
                return
            try:
                local = (self._flows[source, node], 0)
                to, further = await asyncio.open_connection(self._job["own"][node], port, local_addr=local)
            except OSError:
                writer.transport.abort()
                return
            wire = Wire(link, (writer, further))
            link.wires.add(wire)
            try:
                await asyncio.gather(wire.carry(source, reader, further), wire.carry(node, to, writer))
            finally:
                link.wires.discard(wire)
                wire.end()

        return came


def _hexadecimal(address: str, port: int) -> str:
    """Return an end of a connection as /proc/net/tcp has it."""
    return f"{bytes(reversed([int(part) for part in address.split('.')])).hex().upper()}:{port:04X}"


async def serve() -> None:
    """Relay until stdin ends."""
    loop = asyncio.get_running_loop()
    job: Job = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    relay = Relay(job, Owners(Path(job["network"]), sorted(job["ports"])).of)
    await relay.listen()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        relay.become(json.loads(line))
        print("done", flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve())
