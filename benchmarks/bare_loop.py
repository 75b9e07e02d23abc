"""The baseline: a bare SimulaQron loop. Two processes a link, registers and Perspective Broker, and nothing of qkdbus
around them: no bus, no storage, no protocol stack, no authentication.

Same engine, same three bases, same batch size and same number of processes as key formation; the same virtual node,
register handling and Unix socket, so that it is as fast as we know how. The source makes batches, tells the sink,
and measures its halves in bases it draws; the sink draws its own and has its halves measured at the source in one
round trip, which brings the source's bases back; both sift. At the end the two sifted keys are compared.

    python benchmarks/bare_loop.py --pairs 51200 --batch 512 --engine stabilizer --links 1 [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import hashlib
import json
import logging
import os
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qkdbus_qbackend.emulators.simulaqron import library
from qkdbus_qbackend.emulators.simulaqron.broker import BrokerNeighbours
from qkdbus_qbackend.emulators.simulaqron.late_reactor import start_reactor
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.registers import SINK, SOURCE, Pair, Pauli, Registers

AHEAD = 2  # batches that the source may be ahead of the sink
BASIS_OF = bytes(byte % 3 for byte in range(256))
SHAPES = {"source": ("Source", "Sink"), "sink": ("Sink", "Source")}


def draw_bases(count: int) -> bytes:
    """Draw Z, X or Y evenly from the system's generator: a byte of 255 would tip the scales, and is drawn again."""
    kept = os.urandom(count).replace(b"\xff", b"")
    while len(kept) < count:
        kept += os.urandom(count - len(kept)).replace(b"\xff", b"")
    return kept.translate(BASIS_OF)


@dataclass
class End:
    """One end of a link: its half of the loop, and its sifted key."""

    batch: int
    engine: str
    registers: Registers
    neighbours: BrokerNeighbours
    key: bytearray = field(default_factory=bytearray)
    pairs: int = 0
    open: dict[int, tuple[list[Pair], bytes, bytes]] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AHEAD))

    def sift(self, mine: bytes, theirs: bytes, outcomes: bytes, flip: int) -> None:
        """Keep the outcomes of equal bases; on |Phi+> Y and Y disagree, so one end flips them (`flip` = 1)."""
        self.pairs += len(mine)
        self.key += bytes(
            outcome ^ (flip and a == 2) for outcome, a, b in zip(outcomes, mine, theirs, strict=True) if a == b
        )

    # -- the source
    async def run_source(self, total: int) -> None:
        """Make and measure `total` pairs in batches."""
        for number in range(-(-total // self.batch)):
            await self.room.acquire()
            pairs = [self.registers.make(self.engine, Pauli()) for _ in range(self.batch)]
            bases = draw_bases(self.batch)
            outcomes = bytes(self.registers.measure(p, SOURCE, b) for p, b in zip(pairs, bases, strict=True))
            self.open[number] = pairs, bases, outcomes
            await self.neighbours.announce("Sink", "bare", number, self.batch)
        for _ in range(AHEAD):
            await self.room.acquire()

    async def measure_travelled(self, peer: str, name: str, number: int, bases: bytes) -> bytes:
        """Measure the sink's halves; the source's bases ride back, now that both have measured."""
        pairs, mine, outcomes = self.open.pop(number)
        theirs = bytes(self.registers.measure(p, SINK, b) for p, b in zip(pairs, bases, strict=True))
        self.sift(mine, bases, outcomes, 0)
        self.room.release()
        return theirs + mine

    # -- the sink
    def arrived(self, peer: str, name: str, number: int, count: int) -> str:
        """Have the halves measured in bases drawn here."""
        task = asyncio.ensure_future(self._measure(peer, number, count))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return ""

    async def _measure(self, peer: str, number: int, count: int) -> None:
        bases = draw_bases(count)
        answer = await self.neighbours.measure(peer, "bare", number, bases)
        self.sift(bases, answer[count:], answer[:count], 1)

    async def run_sink(self, total: int) -> None:
        """Wait until all pairs are measured."""
        while self.pairs < total:
            await asyncio.sleep(0.005)

    def forgotten(self, peer: str, name: str) -> None:
        """There are no lines to forget."""

    def peer_lost(self, peer: str) -> None:
        """Nothing to do: the run fails or is over."""


async def run_end(role: str, folder: Path, total: int, batch: int, engine: str) -> dict[str, Any]:
    """Be one process of the loop; returns its pairs, its seconds and its key's digest."""
    name, peer = SHAPES[role]
    log = logging.Logger("bare_loop", logging.CRITICAL + 1)
    library.require(engine)
    dial = {peer: folder / f"{peer}.sock"} if role == "source" else {}
    neighbours = BrokerNeighbours(name, dial, frozenset([peer]), patience=60.0, log=log)
    node = QkdVirtualNode(name, 65_536, neighbours.meet)
    end = End(batch, engine, Registers(node, random.Random()), neighbours)
    neighbours.start(start_reactor(asyncio.get_running_loop(), log), node, end, folder / f"{name}.sock")
    while not neighbours.up():
        await asyncio.sleep(0.005)
    run: Callable[[int], Awaitable[None]] = end.run_source if role == "source" else end.run_sink
    whole = -(-total // batch) * batch
    begin, used = time.perf_counter(), time.process_time()
    await run(whole)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - used
    await asyncio.sleep(0.1)  # the last answers leave
    await neighbours.stop()
    digest = hashlib.sha256(end.key).hexdigest()
    return {"pairs": end.pairs, "seconds": seconds, "cpu": cpu, "sifted": len(end.key), "digest": digest}


def measure(
    pairs: int = 51_200, batch: int = 512, engine: str = "stabilizer", links: int = 1, profile: bool = False
) -> dict[str, Any]:
    """Run the loop; returns pairs/s (all links together), sifted bits/s and CPU per pair. Raises when keys differ."""
    with tempfile.TemporaryDirectory(prefix="bare") as name:
        running = [_start(Path(name), link, pairs, batch, engine, profile) for link in range(links)]
        ends = [[_finish(process) for process in link] for link in running]
    for source, sink in ends:
        if source["digest"] != sink["digest"]:
            raise RuntimeError("the two ends sifted different keys")
    result = {
        "pairs_per_second": sum(source["pairs"] / source["seconds"] for source, _ in ends),
        "sifted_per_second": sum(source["sifted"] / source["seconds"] for source, _ in ends),
        "kept_share": sum(source["sifted"] for source, _ in ends) / sum(source["pairs"] for source, _ in ends),
        "cpu_us_per_pair": {
            role: 1e6 * sum(link[place]["cpu"] / link[place]["pairs"] for link in ends) / links
            for place, role in enumerate(SHAPES)
        },
        **{"pairs": pairs, "batch": batch, "engine": engine, "links": links, "processes": 2 * links},
    }
    if profile:
        result["profile"] = ends[0][0]["profile"]
    return result


def _start(
    folder: Path, link: int, pairs: int, batch: int, engine: str, profile: bool
) -> list[subprocess.Popen[bytes]]:
    place = folder / str(link)
    place.mkdir(mode=0o700)
    command = [sys.executable, __file__, "--pairs", str(pairs), "--batch", str(batch), "--engine", engine]
    command += ["--folder", str(place)] + ["--profile"] * profile
    return [subprocess.Popen([*command, "--end", role], stdout=subprocess.PIPE) for role in SHAPES]


def _finish(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"an end of the loop failed with status {process.returncode}")
    result: dict[str, Any] = json.loads(out)
    return result


def _profiled(profiler: cProfile.Profile, most: int = 25) -> list[dict[str, Any]]:
    """The functions in which the time was spent, by their own time."""
    rows: Any = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    listed = sorted(rows.items(), key=lambda row: -row[1][2])[:most]
    return [
        {
            "function": f"{Path(file).name}:{line} {name}",
            "calls": calls,
            "own_s": round(own, 3),
            "all_s": round(all_, 3),
        }
        for (file, line, name), (_, calls, own, all_, _callers) in listed
    ]


def _be_an_end(asked: argparse.Namespace) -> dict[str, Any]:
    profiler = cProfile.Profile()
    coroutine = run_end(asked.end, asked.folder, asked.pairs, asked.batch, asked.engine)
    if not asked.profile:
        return asyncio.run(coroutine)
    result = profiler.runcall(asyncio.run, coroutine)
    return {**result, "profile": _profiled(profiler)}


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=51_200, help="pairs on each link (default 51200)")
    parser.add_argument("--batch", type=int, default=512, help="pairs a batch (default 512)")
    parser.add_argument("--engine", default="stabilizer", help="stabilizer, qutip or projectq")
    parser.add_argument("--links", type=int, default=1, help="links at once, two processes each")
    parser.add_argument("--profile", action="store_true", help="say where the source's time goes (runs slower)")
    parser.add_argument("--end", choices=list(SHAPES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.end:
        print(json.dumps(_be_an_end(asked)))
    else:
        print(json.dumps(measure(asked.pairs, asked.batch, asked.engine, asked.links, asked.profile), indent=2))


if __name__ == "__main__":
    main()
