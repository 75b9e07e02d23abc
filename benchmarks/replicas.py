"""Key rate against the number of qbackend workers, and what the dispatcher costs a job.

1. Photonic: one fast link, its clock as fast as it can, `replicas: n` at both ends, an application at either end that
   fetches and compares all keys.
2. SimulaQron: one link, whose pairs all come from one virtual node; two links of one source, one virtual node for
   both; and two links with a virtual node each, as in the paper.
3. The dispatcher: the same instant worker asked directly and through it (`benchmarks.dispatch`).

    python -m benchmarks.replicas [--replicas 1,2,3,4] [--seconds 15] [--quick] [--dry]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psutil

from qkdbus.network.model import Buffers, LayerChoice, LinkSettings, Network, Node
from qkdbus_client import Client, QoS
from qkdbus_deploy.blocks import BlockEars, total
from qkdbus_deploy.sandbox import Sandbox, sandbox
from qkdbus_deploy.status import look

from . import dispatch, photonic_run, report
from .photonic_stack import link_for

QBER = 0.01
BLOCK = 1 << 22  # sifted bits of a photonic block
WARM = 6.0
CHUNK = 32  # octets of a key over SimulaQron
WINDOW = 4 << 20  # octets: more than comes in the time
Links = tuple[tuple[str, str], ...]  # source, sink
ONE: Links = (("Alice", "Bob"),)
SHARED: Links = (("Alice", "Bob"), ("Alice", "Charlie"))
APART: Links = (("Alice", "Bob"), ("Charlie", "Dave"))


@dataclass(frozen=True)
class Rate:
    """Key bit/s over SimulaQron, of all links together. `cores`: that all processes took, and those of the emulator."""

    layout: str
    replicas: int
    links: int
    key_bps: float
    blocks: int
    failed: int
    cores: float
    emulator_cores: float
    qbackend_cores: float


def photonic(replicas: int, seconds: float, block: int) -> dict[str, Any]:
    """Measure one fast photonic link."""
    report.say(f"photonic, {replicas} workers at either end")
    found = photonic_run.run(link_for(QBER, block), WARM, seconds, replicas)
    report.say(f"  secret {found.secret_bps / 1e6:.2f} Mb/s, {found.taken:.2f} cores")
    return {"replicas": replicas, **found.plain()}


def simulaqron(layout: str, links: Links, replicas: int, seconds: float) -> Rate:
    """Measure links over SimulaQron."""
    report.say(f"SimulaQron, {layout}, {replicas} workers a node")
    network = _network(links, replicas)
    sources = dict.fromkeys(source for source, _ in links)
    with sandbox(network) as box, ExitStack() as stack:
        ears = [stack.enter_context(BlockEars(box.home / box.name, source)) for source in sources]
        for source, sink in links:
            _open(box, source, sink)
        time.sleep(WARM)
        for ear in ears:
            list(ear.hear(0.0))
        before, began = _cpu(box), time.monotonic()
        time.sleep(seconds)
        heard = [one for ear in ears for one in ear.hear(0.0)]
        took, after = time.monotonic() - began, _cpu(box)
    spent = {layer: (after[layer] - before[layer]) / took for layer in after}
    failed = sum(bool(one.failure) for one in heard)
    found = Rate(
        layout,
        replicas,
        len(links),
        total([one for one in heard if not one.failure], "length") / took,
        len(heard) - failed,
        failed,
        sum(spent.values()),
        spent.get("emulator", 0.0),
        spent.get("qbackend", 0.0),
    )
    report.say(f"  {found.key_bps:.0f} bit/s, {found.cores:.2f} cores")
    return found


def _network(links: Links, replicas: int) -> Network:
    names = dict.fromkeys(name for link in links for name in link)
    neighbours = {name: tuple(x for link in links if name in link for x in link if x != name) for name in names}
    return Network(
        name="replicas",
        nodes=tuple(Node(node_name=name, neighbour_nodes=neighbours[name]) for name in names),
        link_defaults=LinkSettings(emulator="simulaqron", jobs=4, block_bits=512),
        layers={"qbackend": LayerChoice(replicas=replicas)},
        buffers=Buffers(window_bytes=WINDOW),
    )


def _open(box: Sandbox, source: str, sink: str) -> UUID:
    names = f"app@{source}", f"app@{sink}"
    with Client(source, network=box.name, home=box.home) as here:
        opened = here.open_connect(*names, QoS(key_chunk_size=CHUNK, timeout=500, ttl=3600))
    assert opened.ksid is not None, opened.reason
    with Client(sink, network=box.name, home=box.home) as there:
        there.open_connect(*names, ksid=opened.ksid)
    return opened.ksid


def _cpu(box: Sandbox) -> dict[str, float]:
    """Return s of processor time so far, by layer."""
    spent: dict[str, float] = {}
    for node in look(box.home / box.name).nodes:
        for layer in node.layers:
            times = psutil.Process(layer.pid).cpu_times()
            spent[layer.layer] = spent.get(layer.layer, 0.0) + times.user + times.system
    return spent


def page(light: Sequence[dict[str, Any]], qubits: Sequence[Rate], ways: Sequence[dispatch.Way], load: float) -> str:
    """Return the results as Markdown."""
    base = light[0]["secret_bps"] or float("nan")
    photonic_table = report.table(
        ("replicas", "secret Mb/s", "of that with one", "sifted Mb/s", "blocks", "failed", "cores taken",
         "keys compared"),
        [
            (one["replicas"], f"{one['secret_bps'] / 1e6:.2f}", f"{one['secret_bps'] / base:.2f}",
             f"{one['sifted_bps'] / 1e6:.2f}", one["blocks"], one["failed"], f"{one['taken']:.2f}", one["keys_equal"])
            for one in light
        ],
    )  # fmt: skip
    simulaqron_table = report.table(
        ("links", "replicas", "key bit/s, all links", "of the first row", "blocks", "failed", "cores taken",
         "by SimulaQron", "by workers"),
        [
            (one.layout, one.replicas, one.key_bps, f"{one.key_bps / (qubits[0].key_bps or float('nan')):.2f}",
             one.blocks, one.failed, f"{one.cores:.2f}", f"{one.emulator_cores:.2f}", f"{one.qbackend_cores:.2f}")
            for one in qubits
        ],
    )  # fmt: skip
    direct = {way.block_bits: way for way in ways if way.way == ways[0].way}
    dispatch_table = report.table(
        ("a job of", "way", "one at a time, us", "more than direct, us", f"jobs/s, {dispatch.IN_FLIGHT} at once"),
        [
            (f"{way.block_bits:,} bits", way.way, f"{1e6 * way.alone_s:.0f}",
             f"{1e6 * (way.alone_s - direct[way.block_bits].alone_s):.0f}", way.together_hz)
            for way in ways
        ],
    )  # fmt: skip
    return ABOUT.format(
        load=load, cores=os.cpu_count(), photonic=photonic_table, simulaqron=simulaqron_table, dispatch=dispatch_table
    )


ABOUT = f"""`replicas: n` gives every node n qbackend workers, over which its dispatcher spreads the jobs. Here both
ends of each link are on the same {{cores}} cores, so more workers can only use what one worker a node leaves idle; on
machines with more cores, or with the ends apart, each worker is a core more. The load average was {{load}} before the
start.

## Photonic: one link

{photonic_run.ENDS[0]} - {photonic_run.ENDS[1]}, bb84-decoy at a QBER of {QBER:.0%}, blocks of {BLOCK:,} sifted bits, 4
exchanges at once, the clock as fast as it can. All keys were fetched at both ends and compared.

{{photonic}}

## SimulaQron: one virtual node for all links of a source, or one each

4 exchanges at once on each link. What bounds the rate is the source's SimulaQron node, one process on one core, whose
registers hold the qubits of all its links; workers do the rest. "Two links of one source" share that process; "two
links, a virtual node each" have two sources, as if the source had a virtual node per link.

{{simulaqron}}

## The dispatcher's share of a job

An instant worker in a process of its own, asked directly and through a dispatcher process, in turns.

{{dispatch}}
"""


def main() -> None:
    """Measure, write docs/replicas.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", default="1,2,3,4")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--quick", action="store_true", help="1 and 2 workers, 4 s each: only to see that it works")
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    asked = parser.parse_args()
    counts, seconds = [int(count) for count in asked.replicas.split(",")], asked.seconds
    if asked.quick:
        counts, seconds = [1, 2], 4.0
    where = report.machine()
    report.say("the dispatcher")
    ways = dispatch.measure(150 if asked.quick else dispatch.JOBS, dispatch.IN_FLIGHT)
    block = BLOCK >> 2 if asked.quick else BLOCK
    light = [photonic(count, seconds, block) for count in counts]
    qubits = [simulaqron("one link", ONE, count, seconds) for count in counts]
    qubits.append(simulaqron("two links of one source", SHARED, 1, seconds))
    qubits.append(simulaqron("two links of one source", SHARED, 2, seconds))
    qubits.append(simulaqron("two links, a virtual node each", APART, 1, seconds))
    text = page(light, qubits, ways, where["load_before"])
    if not asked.dry and not asked.quick:
        data = {"photonic": light, "simulaqron": [asdict(one) for one in qubits], "dispatch": [asdict(w) for w in ways]}
        report.write("replicas", "Workers", "python -m benchmarks.replicas", text, data, where)
    print(text)


if __name__ == "__main__":
    main()
