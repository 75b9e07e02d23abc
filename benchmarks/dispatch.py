"""What the dispatcher costs a job: the same instant worker, asked directly and through a dispatcher process.

The worker is a process that keeps the qbackend's contract and answers every `run` at once with a block of zeros, so
that what is left is the way there and back: its socket alone, or the dispatcher's socket, its choice, and that socket.

    python -m benchmarks.dispatch
    python -m benchmarks.dispatch worker NODE_DIR
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
import zmq

from qkdbus.bus.asker import Asker
from qkdbus.contracts.call import Call
from qkdbus.contracts.dispatcher import CONTRACT as DISPATCHER
from qkdbus.contracts.qbackend import CONTRACT as QBACKEND
from qkdbus.errors import QkdbusError
from qkdbus.runtime import Room, Service, main
from qkdbus.runtime.settings import NodeSettings, Ports
from qkdbus.wire.dispatcher_pb2 import Exchange, Exchanged, JobName, KeyBlock, Reserve, Reserved
from qkdbus.wire.head_pb2 import Health, Ping
from qkdbus.wire.qbackend_pb2 import Abort, Aborted, Attack, Attacked, Run

from . import report

BLOCKS = (1 << 10, 1 << 20)  # bits
ROUNDS, JOBS, IN_FLIGHT = 3, 1500, 32
READY = 30.0  # s

Ask = Callable[[Asker, Asker, int, int], Awaitable[object]]  # dispatcher, worker, job, bits


@dataclass(frozen=True)
class Way:
    """How a job went, one after the other and many at once: median s of a job, and jobs a s."""

    way: str
    block_bits: int
    alone_s: float
    together_hz: float


class InstantWorker:
    """Keeps the qbackend's contract, and does nothing."""

    def __init__(self, room: Room) -> None:
        self._room = room

    async def start(self) -> None:
        """Serve."""
        self._room.serve(self._room.settings.ipc("qbackend.0"), QBACKEND, self)

    async def stop(self) -> None:
        """End."""

    def waiting_for(self) -> str:
        """It is ready."""
        return ""

    def run(self, request: Run, call: Call) -> Exchanged:
        """Answer with a block of zeros."""
        bits = request.exchange.bits
        return Exchanged(block=KeyBlock(run=bytes(16), bits=bytes((bits + 7) // 8), length=bits))

    def abort(self, request: Abort, call: Call) -> Aborted:
        """Nothing runs."""
        return Aborted()

    def attack(self, request: Attack, call: Call) -> Attacked:
        """No channel is here."""
        return Attacked()


def build(room: Room) -> Service:
    """Build the instant worker."""
    return InstantWorker(room)


async def _direct(dispatcher: Asker, worker: Asker, job: int, bits: int) -> object:
    return await worker.ask("run", Run(exchange=_exchange(job, bits)))


async def _through(dispatcher: Asker, worker: Asker, job: int, bits: int) -> object:
    return await dispatcher.ask("exchange", _exchange(job, bits))


async def _reserved(dispatcher: Asker, worker: Asker, job: int, bits: int) -> object:
    found = await dispatcher.ask("reserve", Reserve(name=_name(job), bits=bits))
    assert isinstance(found, Reserved)
    return await dispatcher.ask("exchange", _exchange(job, bits, found.worker))


def _name(job: int) -> JobName:
    return JobName(peer="Bob", epoch_n=1, epoch_r=2, job=job)


def _exchange(job: int, bits: int, worker: int = 0) -> Exchange:
    return Exchange(name=_name(job), arbiter=True, bits=bits, protocol="bbm92", worker=worker)


WAYS: dict[str, Ask] = {
    "the worker asked directly": _direct,
    "`exchange` through the dispatcher": _through,
    "`reserve` and `exchange`": _reserved,
}


def measure(jobs: int, in_flight: int) -> list[Way]:
    """Measure every way with every size of block, in turns; medians of the rounds."""
    with _processes() as settings:
        return asyncio.run(_measure(settings, jobs, in_flight))


@contextmanager
def _processes() -> Iterator[NodeSettings]:
    with tempfile.TemporaryDirectory(prefix="qkdbus-") as folder:
        home = Path(folder)
        settings = NodeSettings(
            network="dispatch",
            name="Alice",
            host="127.0.0.1",
            directory=home,
            run=home / "run",
            ports=Ports(north=1, keymanager=2, keysync=3, qbackend=(4,)),
            nodes=("Alice",),
            neighbours=(),
        )
        (home / "node.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        commands = (["benchmarks.dispatch", "worker", folder], ["qkdbus_dispatcher", folder])
        none, house = subprocess.DEVNULL, report.DOCS.parent
        started = [
            subprocess.Popen([sys.executable, "-m", *words], stdout=none, stderr=none, cwd=house) for words in commands
        ]
        try:
            yield settings
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                process.wait()


async def _measure(settings: NodeSettings, jobs: int, in_flight: int) -> list[Way]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dispatcher = Asker(context, settings.ipc("dispatcher"), DISPATCHER, os.urandom(16))
    worker = Asker(context, settings.ipc("qbackend.0"), QBACKEND, os.urandom(16))
    try:
        await _ready(dispatcher)
        taken: dict[tuple[str, int], list[tuple[float, float]]] = {}
        number = 0
        for _ in range(ROUNDS):
            for bits in BLOCKS:
                for way, ask in WAYS.items():
                    each = jobs // ROUNDS // (1 if bits == BLOCKS[0] else 8)
                    alone = await _alone(ask, dispatcher, worker, bits, number, each)
                    together = await _together(ask, dispatcher, worker, bits, number + each, each, in_flight)
                    number += 2 * each
                    taken.setdefault((way, bits), []).append((alone, together))
    finally:
        dispatcher.close()
        worker.close()
        context.destroy(linger=0)
    return [
        Way(way, bits, statistics.median(a for a, _ in rounds), statistics.median(t for _, t in rounds))
        for (way, bits), rounds in taken.items()
    ]


async def _ready(dispatcher: Asker) -> None:
    ends = time.monotonic() + READY
    while True:
        try:
            health = await dispatcher.ask("ping", Ping(), patience=1.0)
            assert isinstance(health, Health)
            if health.ready:
                return
        except QkdbusError:
            pass
        if time.monotonic() > ends:
            raise SystemExit("the dispatcher did not become ready")
        await asyncio.sleep(0.05)


async def _alone(ask: Ask, dispatcher: Asker, worker: Asker, bits: int, first: int, count: int) -> float:
    took = []
    for job in range(first, first + count):
        began = time.perf_counter()
        await ask(dispatcher, worker, job, bits)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


async def _together(
    ask: Ask, dispatcher: Asker, worker: Asker, bits: int, first: int, count: int, in_flight: int
) -> float:
    left = iter(range(first, first + count))

    async def one() -> None:
        for job in left:
            await ask(dispatcher, worker, job, bits)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(in_flight)))
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        del sys.argv[1]
        main("qbackend", build)
    else:
        for found in measure(JOBS, IN_FLIGHT):
            print(found)
