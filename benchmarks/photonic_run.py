"""One photonic link at work for a while, with an application at either end: what came, and what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from qkdbus.network.model import Buffers, Config, LayerChoice, LinkSettings, Network, Node
from qkdbus.physics.entropy import entropy
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_client import Client, QoS
from qkdbus_deploy.blocks import BlockEars, Heard, total
from qkdbus_deploy.sandbox import Sandbox, sandbox
from qkdbus_deploy.status import look

from .key_reader import Got, Job

ENDS = ("Alice", "Bob")
CHUNK = 1 << 16  # octets of a key
SMALL_CHUNK = 32  # on links that give little
WINDOW = 64 << 20  # octets
READER = [sys.executable, "-m", "benchmarks.key_reader"]


@dataclass(frozen=True)
class Found:
    """What a link gave in the time that counts. Rates per s of wall clock.

    Attributes:
        secret_bps: key that reached the applications, at the slower end.
        sifted_bps: bits that went into distillation, of blocks that were finished.
        share: key bits per sifted bit.
        speed: s of link time per s.
        qber, efficiency, rounds: of the blocks.
        blocks, failed: exchanges with a key, and without.
        keys_equal: keys that the two ends were seen to hold alike, all that both have had.
        stages: s of wall clock per block, by stage.
        cpu: cores that each process took.
    """

    seconds: float
    cores: int
    secret_bps: float
    sifted_bps: float
    share: float
    speed: float
    qber: float
    efficiency: float
    rounds: float
    blocks: int
    failed: int
    why: str
    keys_equal: int
    stages: dict[str, float]
    cpu: dict[str, float]

    @property
    def taken(self) -> float:
        """Cores that all processes together took: fewer than there are where others were at work, or it waited."""
        return sum(self.cpu.values())

    def plain(self) -> dict[str, Any]:
        """Return it as data."""
        return {**asdict(self), "taken": self.taken}


def run(link: LinkSettings, warm: float, seconds: float, replicas: int = 1) -> Found:
    """Run a link with so many workers at either end; count `seconds` after `warm` of them."""
    with sandbox(_network(link, replicas)) as box, BlockEars(box.home / box.name, ENDS[0]) as ears:
        chunk = CHUNK if link.photonic.block_bits(link.protocol) >= 1 << 22 else SMALL_CHUNK
        begin = time.monotonic() + warm
        end = begin + seconds
        with _readers(box, chunk, end + 1.0) as readers:
            time.sleep(max(0.0, begin - time.monotonic()))
            for _ in ears.hear(0.0):
                pass
            before = _cpu(box, readers)
            time.sleep(max(0.0, end - time.monotonic()))
            after = _cpu(box, readers)
            heard = list(ears.hear(0.0))
            got: list[Got] = [json.loads(reader.communicate()[0]) for reader in readers]
    spent = {name: round((after[name] - before[name]) / seconds, 3) for name in after}
    return _found(heard, got, (begin, end), spent)


def _network(link: LinkSettings, replicas: int) -> Network:
    return Network(
        name="stack",
        config=Config(qkd_protocol=link.protocol),
        nodes=(Node(node_name="Alice", neighbour_nodes=("Bob",)), Node(node_name="Bob", neighbour_nodes=("Alice",))),
        link_defaults=link,
        layers={"qbackend": LayerChoice(replicas=replicas)},
        buffers=Buffers(window_bytes=WINDOW),
    )


@contextmanager
def _readers(box: Sandbox, chunk: int, until: float) -> Iterator[list[subprocess.Popen[str]]]:
    ksid = _open(box, chunk)
    readers = []
    try:
        for node in ENDS:
            job: Job = {
                "home": str(box.home),
                "network": box.name,
                "node": node,
                "ksid": str(ksid),
                "chunk": chunk,
                "until": until,
            }
            reader = subprocess.Popen(READER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_house())
            readers.append(reader)
            assert reader.stdin is not None
            reader.stdin.write(json.dumps(job))
            reader.stdin.close()
            reader.stdin = None  # so that communicate() leaves it alone
        yield readers
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()


def _open(box: Sandbox, chunk: int) -> UUID:
    names = "app@Alice", "app@Bob"
    with Client("Alice", network=box.name, home=box.home) as alice:
        opened = alice.open_connect(*names, QoS(key_chunk_size=chunk, timeout=500, ttl=3600))
    assert opened.ksid is not None, opened.reason
    with Client("Bob", network=box.name, home=box.home) as bob:
        bob.open_connect(*names, ksid=opened.ksid)
    return opened.ksid


def _cpu(box: Sandbox, readers: Sequence[subprocess.Popen[str]]) -> dict[str, float]:
    """Return s of processor time so far, by process."""
    status = look(box.home / box.name)
    pids = {
        f"{layer.layer}{f'.{layer.replica}' if layer.replica else ''} {node.node}": layer.pid
        for node in status.nodes
        for layer in node.layers
    }
    pids |= {f"application {node}": reader.pid for node, reader in zip(ENDS, readers, strict=True)}
    spent = {}
    for name, pid in pids.items():
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            spent[name] = times.user + times.system
    return spent


def _found(heard: Sequence[Heard], got: Sequence[Got], time_of: tuple[float, float], cpu: dict[str, float]) -> Found:
    seconds = time_of[1] - time_of[0]
    distilled = [one for one in heard if one.record.kept]
    kept, leaked, corrected = (total(distilled, what) for what in ("kept", "leaked", "corrected"))
    failed = [one.failure for one in heard if one.failure]
    return Found(
        seconds=seconds,
        cores=os.cpu_count() or 1,
        secret_bps=min(_rate(one, *time_of) for one in got),
        sifted_bps=_pace(distilled, "kept"),
        share=total(heard, "length") / kept if kept else 0.0,
        speed=_pace(heard, "link_time"),
        qber=corrected / kept if kept else 0.0,
        efficiency=leaked / (kept * entropy(corrected / kept)) if corrected else 0.0,
        rounds=round(total(distilled, "rounds") / max(1, len(distilled))),
        blocks=len(heard) - len(failed),
        failed=len(failed),
        why=failed[-1] if failed else "",
        keys_equal=_equal(*got),
        stages=_stages([one.record for one in distilled]),
        cpu=cpu,
    )


def _pace(heard: Sequence[Heard], figure: str) -> float:
    """Return how much of a figure came per s, from the end of the first block to that of the last."""
    done = sorted(heard, key=lambda one: one.record.finished_at)
    if len(done) < 2:
        return 0.0
    return total(done[1:], figure) / (done[-1].record.finished_at - done[0].record.finished_at)


def _rate(got: Got, begin: float, end: float) -> float:
    """Return bit/s between the first and the last arrival in that time."""
    inside = [(at, octets) for at, octets in got["arrivals"] if begin <= at <= end]
    if len(inside) < 2:
        return 0.0
    (first, before), (last, after) = inside[0], inside[-1]
    return 8 * (after - before) / (last - first)


def _equal(one: Got, other: Got) -> int:
    """Return how many keys both ends have had, all of them alike. AssertionError when there is one that is not."""
    count = min(len(one["digests"]), len(other["digests"]))
    assert not count or one["digests"][count - 1] == other["digests"][count - 1], "the ends hold different keys"
    return count


def _stages(records: Sequence[BlockRecord]) -> dict[str, float]:
    names = dict.fromkeys(name for record in records for name in record.stages)
    return {name: sum(record.stages[name] for record in records) / len(records) for name in names}


def _house() -> Path:
    return Path(__file__).parents[1]
