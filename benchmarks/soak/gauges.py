"""What is read of a running network, now and then: memory, descriptors, files, and how fast calls are answered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from qkdbus_deploy.sandbox import Sandbox

_SIZES = re.compile(r"^(Rss|Pss):\s+(\d+) kB", re.MULTILINE)
_SERVICE = re.compile(r"^([a-z]+\.\d+) (\S+)$")  # as services call themselves
FEWEST = 20  # calls that have quantiles
Sample = dict[str, float]


def read(box: Sandbox) -> Sample:
    """Return what is there: "memory/<process>" and "resident/<process>" in MB, "files/<process>", "state/<file>" in kB.

    Memory is PSS: what is shared counts in part, so it rises also when a process writes on a page that it had in common
    with the one it was forked from, and when another one that had it ends. Resident is RSS, where that changes nothing.
    The name of a process is followed by its id: one that was started again is another one.
    """
    found: Sample = {}
    for pid in box.processes():
        try:
            name = _name(pid)
            sizes = sizes_of(pid)
            found[f"memory/{name} #{pid}"] = sizes["Pss"]
            found[f"resident/{name} #{pid}"] = sizes["Rss"]
            found[f"files/{name} #{pid}"] = float(psutil.Process(pid).num_fds())
        except (psutil.Error, OSError):  # just gone
            continue
    network = box.home / box.name
    for file in network.glob("*/state/*"):
        found[f"state/{file.parent.parent.name} {file.name}"] = _size(file)
    for node in {file.parent.parent for file in network.glob("*/logs/*.log")}:
        found[f"logs/{node.name}"] = sum(_size(file) for file in node.glob("logs/*"))
    return found


def sizes_of(pid: int) -> dict[str, float]:
    """Return the resident ("Rss") and the proportional ("Pss") set size of a process in MB."""
    said = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {"Rss": 0.0, "Pss": 0.0} | {name: int(size) / 1024 for name, size in _SIZES.findall(said)}


def latencies(seconds: Sequence[float], echoes: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Yield p50 and p99 in ms of calls and of a bare echo, and their ratio; nothing of what was called too seldom."""
    ours, bare = _quantiles(seconds), _quantiles(echoes)
    yield from ((f"latency/{name}", value) for name, value in ours.items())
    yield from ((f"echo/{name}", value) for name, value in bare.items())
    yield from ((f"beside/{name}", ours[name] / bare[name]) for name in ours if name in bare)


def _quantiles(seconds: Sequence[float]) -> Sample:
    told = sorted(seconds)
    return {f"p{part}": 1e3 * told[len(told) * part // 100] for part in (50, 99)} if len(told) >= FEWEST else {}


def _name(pid: int) -> str:
    said = " ".join(psutil.Process(pid).cmdline()).strip()
    if service := _SERVICE.match(said):
        return f"{service[2]} {service[1]}"
    return said.replace("qkdbus ", "supervisord of ") if said.startswith("qkdbus ") else said[-60:]


def _size(file: Path) -> float:
    try:
        return file.stat().st_size / 1024
    except OSError:
        return 0.0
