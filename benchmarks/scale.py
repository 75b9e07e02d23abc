"""How many nodes and links one machine carries: 64 as a ring and as a grid, then more until it ends.

Each network is deployed by the command itself, from nothing. Then every link gives a key to applications at both its
ends, which compare it; then nothing is asked for, and the processor time of all processes is taken. Memory is PSS.

Growth: rings and grids with links of emulator `ideal` (a node is a supervisord and four layers), each about 1.4 times
as large as the one before, until one does not come up, takes longer than --longest s, or the next would not fit into
the memory that is left; and what bounds it.

    python -m benchmarks.scale [--nodes 64] [--idle 20] [--longest 60] [--most 1024] [--quick] [--dry]
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from qkdbus.network.addresses import FIRST_PORT, LAST_PORT

from . import report
from .every_link import Formed, Link, every_link
from .start import MARK, QKDBUS, idle_cpu, marked, pss

GROWTH = 2**0.5
LEFT_FREE = 0.15  # of the machine's memory
PATIENCE = 240.0  # s for a key on every link
SETTLE = 3.0
PORTS = 5  # of a node with one worker


@dataclass(frozen=True)
class Shape:
    """A network: `kind` ring or grid, its nodes and links."""

    kind: str
    nodes: tuple[str, ...]
    links: tuple[Link, ...]
    emulator: str

    def file(self) -> str:
        """Return the network file."""
        neighbours: dict[str, list[str]] = {node: [] for node in self.nodes}
        for one, other in self.links:
            neighbours[one].append(other)
            neighbours[other].append(one)
        each = [f"  - {{node_name: {node}, neighbour_nodes: [{', '.join(neighbours[node])}]}}" for node in self.nodes]
        settings = [f"link_defaults: {{emulator: {self.emulator}, block_bits: 256}}", "buffers: {window_bytes: 64}"]
        return "\n".join(["qkdbus_version: 1", "name: scale", *settings, "nodes:", *each, ""])


def ring(count: int, emulator: str) -> Shape:
    """Return a ring."""
    nodes = _names(count)
    return Shape("ring", nodes, tuple((nodes[i], nodes[(i + 1) % count]) for i in range(count)), emulator)


def grid(count: int, emulator: str) -> Shape:
    """Return a grid that is as square as it can be: all its rows are full, so it may have fewer nodes than asked."""
    width = math.isqrt(count)
    rows = count // width
    nodes = _names(width * rows)
    right = [(nodes[i], nodes[i + 1]) for i in range(len(nodes)) if (i + 1) % width]
    down = [(nodes[i], nodes[i + width]) for i in range(len(nodes) - width)]
    return Shape("grid", nodes, tuple(right + down), emulator)


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"n{number:04}" for number in range(count))


@dataclass(frozen=True)
class Carried:
    """What a network took. Times in s, memory in MB, CPU in percent of one core.

    Attributes:
        cpu_s: processor time of all processes until it was ready.
        keys_s: until every link had given a key at both ends; median_s: the median link.
        compared: links whose key was the same at both ends.
        files, most_files: open file descriptors of all processes, and of the one with most.
        trouble: why it did not come up, or which links gave no key; "" when all is well.
    """

    kind: str
    emulator: str
    nodes: int
    links: int
    processes: int = 0
    threads: int = 0
    files: int = 0
    most_files: int = 0
    ready_s: float = 0.0
    cpu_s: float = 0.0
    pss_mb: float = 0.0
    keys_s: float = 0.0
    median_s: float = 0.0
    compared: int = 0
    pss_after_mb: float = 0.0
    idle_cpu: float = 0.0
    destroy_s: float = 0.0
    left: int = 0
    trouble: str = ""


@contextmanager
def _home() -> Iterator[tuple[Path, dict[str, str], str]]:
    home, mark = Path(tempfile.mkdtemp(prefix="qkdbus-")), secrets.token_hex(8)
    try:
        yield home, {**os.environ, MARK: mark, "QKDBUS_HOME": str(home)}, mark
    finally:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        shutil.rmtree(home, ignore_errors=True)


def carry(shape: Shape, idle: float, longest: float) -> Carried:
    """Deploy a network, have a key of every link, leave it idle, destroy it."""
    found = Carried(shape.kind, shape.emulator, len(shape.nodes), len(shape.links))
    with _home() as (home, env, mark):
        file = home / "scale.yaml"
        file.write_text(shape.file())
        began, before = time.perf_counter(), _cpu_of_children()
        deploy = [*QKDBUS, "deploy", str(file), "--timeout", f"{longest:g}"]
        said = subprocess.run(deploy, env=env, capture_output=True, text=True, check=False)
        ready = time.perf_counter() - began
        pids = marked(mark)
        found = replace(found, ready_s=ready, **_census(pids), pss_mb=sum(map(_pss, pids)) / 1024)
        found = replace(found, cpu_s=found.cpu_s + _cpu_of_children() - before)
        if said.returncode:
            return replace(found, trouble=_last_words(said))
        keys = every_link(home, "scale", shape.links, PATIENCE)
        found = _with_keys(found, keys)
        time.sleep(SETTLE)
        pids = marked(mark)
        found = replace(found, pss_after_mb=sum(map(_pss, pids)) / 1024)
        if idle:
            found = replace(found, idle_cpu=idle_cpu(pids, idle) / found.nodes)
        began = time.perf_counter()
        subprocess.run([*QKDBUS, "destroy", "scale", "--yes"], env=env, check=True, capture_output=True)
        return replace(found, destroy_s=time.perf_counter() - began, left=len(marked(mark)))


def _with_keys(found: Carried, keys: Formed) -> Carried:
    median = statistics.median(keys.links.values()) if keys.links else 0.0
    trouble = ""
    if keys.failed:
        (link, why), *others = keys.failed.items()
        trouble = f"{len(others) + 1} links gave no key: {link[0]} - {link[1]}: {why}"
    return replace(found, keys_s=keys.seconds, median_s=median, compared=len(keys.links), trouble=trouble)


def _census(pids: Sequence[int]) -> dict[str, Any]:
    """Count processes, threads, open files, processor time."""
    threads, files, cpu = 0, [0], 0.0
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            threads += process.num_threads()
            files.append(process.num_fds())
            times = process.cpu_times()
            cpu += times.user + times.system
    return {
        "processes": len(pids),
        "threads": threads,
        "files": sum(files),
        "most_files": max(files),
        "cpu_s": cpu,
    }


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pss(pid: int) -> int:
    try:
        return pss(pid)
    except OSError:
        return 0


def _last_words(said: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (said.stderr + said.stdout).splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:400] or f"exit code {said.returncode}"


def grow(kind: str, emulator: str, start: int, most: int, longest: float) -> tuple[list[Carried], str]:
    """Carry ever larger networks; return what each took, and what ended it."""
    make = ring if kind == "ring" else grid
    found: list[Carried] = []
    size = float(start)
    while True:
        shape = make(min(most, round(size)), emulator)
        report.say(f"{kind}, {len(shape.nodes)} nodes, {len(shape.links)} links ({emulator})")
        found.append(carry(shape, 0.0, longest))
        _tell(found[-1])
        why = _ends(found[-1], most, longest)
        if why:
            return found, why
        size *= GROWTH


def _ends(last: Carried, most: int, longest: float) -> str:
    """Say why there can be no larger one; "" when there can."""
    memory = psutil.virtual_memory()
    a_node = last.pss_mb / last.nodes
    if last.trouble:
        return last.trouble
    if last.ready_s * GROWTH > longest:
        cores = last.cpu_s / last.ready_s
        return f"time: {last.ready_s:.0f} s to come up, {cores:.1f} of {os.cpu_count()} cores busy meanwhile"
    if last.nodes >= most:
        return f"{most} nodes are as many as {'a network file may have' if most == 1024 else 'were asked for'}"
    wanted = last.nodes * GROWTH
    if max(last.pss_mb, last.pss_after_mb) * GROWTH > memory.available / 2**20 - LEFT_FREE * memory.total / 2**20:
        return f"memory: {wanted:.0f} nodes would take {a_node * wanted / 1024:.1f} GB"
    if PORTS * wanted > LAST_PORT - FIRST_PORT:
        return f"TCP ports: {PORTS} a node out of {LAST_PORT - FIRST_PORT + 1}"
    return ""


def _tell(row: Carried) -> None:
    report.say(
        f"  ready {row.ready_s:.1f} s ({row.cpu_s:.1f} s of CPU), {row.pss_mb:.0f} MB, {row.processes} processes, "
        f"a key on {row.compared} of {row.links} links in {row.keys_s:.1f} s {row.trouble}"
    )


HEADS = ("network", "emulator", "nodes", "links", "processes", "ready s", "CPU s", "PSS MB", "key on every link, s",
         "median link s", "links compared", "PSS MB after", "idle CPU % a node", "open files", "destroy s")  # fmt: skip
NOTE = """Ready: every service of every node has answered `ping` as ready; the time is that of the whole command. A key
on every link: applications at both ends of all links at once (at most 256) open a stream, fetch a key of 16 octets
and compare it. Idle CPU: percent of one core, no stream open. PSS: memory, shared pages counted in parts; "after":
with what the keys took. The load average was {load} before the start. Limits: {limits}."""


def page(fixed: Sequence[Carried], grown: Sequence[tuple[list[Carried], str]], load: float) -> str:
    """Return the results as Markdown."""
    parts = [NOTE.format(limits=_limits(), load=load), report.table(HEADS, [_row(one) for one in fixed])]
    parts += [f"{one.kind} of {one.nodes}: {one.trouble}" for one in fixed if one.trouble]
    if grown:
        parts.append("## Where this machine ends")
        parts.append(report.table(HEADS, [_row(one) for rows, _ in grown for one in rows]))
        parts += [f"- {rows[-1].kind}: ended at {rows[-1].nodes} nodes. {why}" for rows, why in grown]
    return "\n\n".join(parts)


def _row(one: Carried) -> list[object]:
    return [
        one.kind, one.emulator, one.nodes, one.links, one.processes, one.ready_s, one.cpu_s, one.pss_mb,
        one.keys_s, one.median_s, one.compared, one.pss_after_mb, one.idle_cpu or "-", one.files, one.destroy_s,
    ]  # fmt: skip


def _limits() -> str:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    pids = int(Path("/proc/sys/kernel/pid_max").read_text())
    total = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {total:.0f} GiB, {pids} process ids, {files} open files a process"


def main() -> None:
    """Measure, write docs/scale.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--emulators", default="simulaqron,ideal", help="of the 64 nodes; what grows is ideal")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds over which idle CPU is taken")
    parser.add_argument("--longest", type=float, default=60.0, help="seconds that a network may take to come up")
    parser.add_argument("--most", type=int, default=1024, help="nodes")
    parser.add_argument("--quick", action="store_true", help="9 nodes, and growth to 24")
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    asked = parser.parse_args()
    if asked.quick:
        asked.nodes, asked.idle, asked.most = 9, 3.0, 24
    where = report.machine()
    fixed = []
    for emulator in asked.emulators.split(","):
        for make in (ring, grid):
            shape = make(asked.nodes, emulator)
            report.say(f"{shape.kind}, {len(shape.nodes)} nodes, {len(shape.links)} links ({emulator})")
            fixed.append(carry(shape, asked.idle, asked.longest))
            _tell(fixed[-1])
    sizes = () if asked.no_growth else ("ring", "grid")
    grown = [grow(kind, "ideal", 2 * asked.nodes, asked.most, asked.longest) for kind in sizes]
    text = page(fixed, grown, where["load_before"])
    if not asked.dry and not asked.quick:
        data = {"fixed": [asdict(one) for one in fixed],
                "growth": [{"why": why, "rows": [asdict(one) for one in rows]} for rows, why in grown]}  # fmt: skip
        command = "python -m benchmarks.scale"
        report.write("scale", "How many nodes one machine carries", command, text, data, where)
    print(text)


if __name__ == "__main__":
    main()
