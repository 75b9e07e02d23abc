"""From `qkdbus deploy` to ready: rings of 3, 8 and 64 nodes on this machine, SimulaQron included.

Each is deployed by the command itself, as a process, from nothing. Beside it, in the same run: as many bare starts of
`python -c 'import zmq'` as the network has processes, one after another (their sum). Then the memory (PSS) of all
processes of the network, and their CPU while nothing asks for keys.

    python -m benchmarks.start [--nodes 3,8,64] [--rounds 3] [--idle 20]
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import report

MARK = "QKDBUS_BENCHMARK"
QKDBUS = [sys.executable, "-c", "from qkdbus_deploy.cli import main; main()"]
TICK = os.sysconf("SC_CLK_TCK")
NOTE = """

A node is a supervisord, four layers and its SimulaQron node; ready means that every service of every node has answered
`ping` as ready. The time is that of the whole command, interpreter start and certificates included. PSS: memory, shared
pages counted in parts. Idle: no stream open.
"""


def ring(nodes: int) -> str:
    """Write the network file of a ring."""
    names = [f"n{number:02}" for number in range(nodes)]
    lines = ["qkdbus_version: 1", "nodes:"]
    for number, name in enumerate(names):
        both = sorted({names[number - 1], names[(number + 1) % nodes]})
        lines.append(f"  - {{node_name: {name}, neighbour_nodes: [{', '.join(both)}]}}")
    return "\n".join(lines) + "\n"


def deploy_once(nodes: int, idle: float) -> dict[str, Any]:
    """Deploy a ring, measure it, destroy it. Times in s, memory in MB, CPU in percent of one core per node."""
    home, mark = Path(tempfile.mkdtemp(prefix="qkdbus-")), secrets.token_hex(8)
    env = {**os.environ, MARK: mark, "QKDBUS_HOME": str(home)}
    file = home / "ring.yaml"
    file.write_text(ring(nodes))
    try:
        began = time.perf_counter()
        subprocess.run([*QKDBUS, "deploy", str(file), "--timeout", "60"], env=env, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        pids = marked(mark)
        megabytes = sum(map(pss, pids)) / 1024
        time.sleep(3)  # let the links settle
        cpu = idle_cpu(pids, idle) / nodes
        began = time.perf_counter()
        subprocess.run([*QKDBUS, "destroy", "ring", "--yes"], env=env, check=True, capture_output=True)
        gone = time.perf_counter() - began
        left = len(marked(mark))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return {
        "nodes": nodes,
        "processes": len(pids),
        "ready_s": seconds,
        "pss_mb": megabytes,
        "idle_cpu_percent_per_node": cpu,
        "destroy_s": gone,
        "left": left,
    }


def bare_starts(processes: int) -> float:
    """Return the sum of as many starts of an interpreter with pyzmq, one after another, in s."""
    began = time.perf_counter()
    for _ in range(processes):
        subprocess.run([sys.executable, "-c", "import zmq"], check=True)
    return time.perf_counter() - began


def marked(mark: str) -> list[int]:
    """Return the processes that carry the mark in their environment."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def pss(pid: int) -> int:
    """Return a process' proportional share of memory, kB."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def idle_cpu(pids: list[int], seconds: float) -> float:
    """Return the CPU that processes take while nothing happens, in percent of one core."""

    def ticks() -> int:
        stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
        return sum(int(stat[11]) + int(stat[12]) for stat in stats)

    before = ticks()
    time.sleep(seconds)
    return 100 * (ticks() - before) / TICK / seconds


def measure(sizes: list[int], rounds: int, idle: float) -> list[dict[str, Any]]:
    """Measure each size `rounds` times, with its baseline; return the medians."""
    results = []
    for nodes in sizes:
        runs, bare = [], []
        for number in range(rounds):
            report.say(f"{nodes} nodes, round {number + 1} of {rounds}")
            runs.append(deploy_once(nodes, idle))
            bare.append(bare_starts(runs[-1]["processes"]))
        row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        row |= {"ready_min_s": min(r["ready_s"] for r in runs), "ready_max_s": max(r["ready_s"] for r in runs)}
        row |= {"bare_starts_s": statistics.median(bare), "rounds": rounds, "left": max(r["left"] for r in runs)}
        row["ratio"] = row["bare_starts_s"] / row["ready_s"]
        results.append(row)
        report.say(f"  ready {row['ready_s']:.2f} s, PSS {row['pss_mb']:.0f} MB, bare {row['bare_starts_s']:.2f} s")
    return results


def page(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    headings = [
        "nodes",
        "processes",
        "ready s (median)",
        "min - max",
        "bare `import zmq` starts, sum s",
        "times faster",
    ]
    headings += ["PSS MB", "idle CPU % a node", "destroy s"]
    lines = []
    for r in rows:
        span = f"{r['ready_min_s']:.2f} - {r['ready_max_s']:.2f}"
        start = [int(r["nodes"]), int(r["processes"]), r["ready_s"], span, r["bare_starts_s"], r["ratio"]]
        lines.append([*start, r["pss_mb"], r["idle_cpu_percent_per_node"], r["destroy_s"]])
    return report.table(headings, lines) + NOTE


def main() -> None:
    """Measure and write docs/start.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="3,8,64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=20.0, help="seconds over which idle CPU is taken")
    asked = parser.parse_args()
    where = report.machine()
    rows = measure([int(n) for n in asked.nodes.split(",")], asked.rounds, asked.idle)
    report.write("start", "Starting a network", "python -m benchmarks.start", page(rows), rows, where)
    print(page(rows))


if __name__ == "__main__":
    main()
