"""From reachable, bare hosts to all nodes ready: `qkdbus deploy` beside the ancestor's way, in the same harness.

Hosts are those of `tests/hosts`: network namespaces with a file system (in memory), an address and an sshd of their
own, all on this machine, new for each run. Three things are timed, each as a whole command:
- the ancestor's way (benchmarks/ancestor.py), from bare hosts;
- `qkdbus deploy network.yaml inventory.yaml` from bare hosts (cold), its software packed before, which is timed apart;
- the same again with nothing changed (warm).
Ready means the same for all: every service of every node has answered `ping` as ready.

Needs root, for the namespaces; leave the machine alone meanwhile.

    sudo .venv/bin/python -m benchmarks.fleet [--sizes 1,2,5,8] [--repetitions 5] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from tests.hosts.lab import SYSTEM, Lab
from tests.hosts.machine import missing, prepare

from . import ancestor, report

WAYS = ("ancestor", "cold", "warm")
NAMES = {"ancestor": "the ancestor's way", "cold": "qkdbus, cold", "warm": "qkdbus, warm"}
AIMS = {"cold": 10, "warm": 25}  # times faster than the ancestor's way, at 8 hosts
NOTE = """
Sizes are hosts. Each has one node of a ring (two: a line) with SimulaQron links; a single host has two, so that there
is a link. A node is a supervisord, four layers and its SimulaQron node. Times are medians, of whole commands, until
every service of every node has answered `ping` as ready. All hosts share this machine's cores: where each has its own,
many take little longer than one. The ancestor's way: facts, forks = 5, a virtual environment and `pip install` on each
host from an index on the controller (with no internet in between, which flatters it), the application and each file
copied by a task of its own. Cold: nothing of qkdbus on the hosts, the software packed on the controller. Warm: deployed
again, nothing changed.
"""


def network(lab: Lab, file: Path) -> Path:
    """Write the network file: a ring over the lab's hosts, or two nodes on one."""
    addresses = [host.address for host in lab.hosts.values()]
    if len(addresses) == 1:
        addresses *= 2
    names = [f"n{number + 1}" for number in range(len(addresses))]
    nodes = [
        {
            "node_name": name,
            "node_ip": address,
            "neighbour_nodes": sorted({names[place - 1], names[(place + 1) % len(names)]}),
        }
        for place, (name, address) in enumerate(zip(names, addresses, strict=True))
    ]
    file.write_text(yaml.safe_dump({"qkdbus_version": 1, "name": "fleet", "nodes": nodes}))
    return file


def lab_of(hosts: int) -> Lab:
    """Return a lab whose hosts have the Python of this process, for which wheels and software are made."""
    python = SYSTEM if sys.base_prefix == "/usr" else Path(sys.base_prefix)
    return Lab(names=[f"host{number + 1}" for number in range(hosts)], python=python)


def once(hosts: int, home: Path, wheel: Path) -> dict[str, dict[str, Any]]:
    """Deploy in all ways to so many hosts; return way -> seconds and phases. `home`: has the packed software."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="fleet-") as temporary:
        folder = Path(temporary)
        with lab_of(hosts) as lab:
            inventory = lab.inventory(folder / "inventory.yaml")
            found["ancestor"] = ancestor.deploy(lab, network(lab, folder / "net.yaml"), inventory, folder, wheel)
        with lab_of(hosts) as lab:
            inventory = lab.inventory(folder / "inventory.yaml")
            file = network(lab, folder / "net.yaml")
            for way in ("cold", "warm"):
                found[way] = qkdbus(lab, home, file, inventory)
        shutil.rmtree(home / "fleet")  # of hosts that are no more
    return found


def qkdbus(lab: Lab, home: Path, file: Path, inventory: Path) -> dict[str, Any]:
    """Run `qkdbus deploy` on the controller; return the time of the whole command, s, and its phases."""
    began = time.perf_counter()
    done = lab.run(["qkdbus", "deploy", file, inventory, "--json"], env={"QKDBUS_HOME": str(home)}, timeout=600)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"qkdbus deploy failed:\n{done.stdout[-3000:]}\n{done.stderr[-1000:]}")
    phases = json.loads(done.stdout)["phases"]
    return {"seconds": seconds, "phases": {"command": seconds - sum(phases.values()), **phases}}


def pack(home: Path) -> float:
    """Deploy to one host with nothing packed, and forget it; return how long packing took, s."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as temporary, lab_of(1) as lab:
        inventory, file = lab.inventory(Path(temporary, "inventory.yaml")), network(lab, Path(temporary, "net.yaml"))
        phases = [qkdbus(lab, home, file, inventory)["phases"]["plan"] for _ in range(2)]
        shutil.rmtree(home / "fleet")
    return float(phases[0] - phases[1])


def measure(sizes: list[int], repetitions: int) -> dict[str, Any]:
    """Measure each size in all ways, `repetitions` times; return the medians."""
    with tempfile.TemporaryDirectory(prefix="fleet-home-") as temporary:
        home, wheel = Path(temporary, "home"), ancestor.application(Path(temporary))
        ancestor.wheels()
        report.say("packing")
        packing = pack(home)
        rows = []
        for hosts in sizes:
            runs = []
            for number in range(repetitions):
                report.say(f"{hosts} hosts, {number + 1} of {repetitions}")
                runs.append(once(hosts, home, wheel))
                report.say("  " + ", ".join(f"{NAMES[way]} {runs[-1][way]['seconds']:.1f} s" for way in WAYS))
            rows.append({"hosts": hosts, **{way: _median([run[way] for run in runs]) for way in WAYS}})
    return {"packing_s": packing, "repetitions": repetitions, "sizes": rows}


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [run["seconds"] for run in runs]
    phases = {name: statistics.median(run["phases"].get(name, 0.0) for run in runs) for name in runs[0]["phases"]}
    span = {"min": min(seconds), "max": max(seconds)}
    return {"seconds": statistics.median(seconds), **span, "phases": phases}


def page(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    rows = []
    for row in found["sizes"]:
        old, cold, warm = (row[way]["seconds"] for way in WAYS)
        spans = [f"{row[way]['min']:.1f} - {row[way]['max']:.1f}" for way in WAYS]
        rows.append([row["hosts"], old, spans[0], cold, spans[1], warm, spans[2], old / cold, old / warm])
    headings = ["hosts", "ancestor's way s", "min - max", "cold s", "min - max", "warm s", "min - max"]
    text = report.table([*headings, "times faster, cold", "times faster, warm"], rows)
    aims = " and ".join(f"{times} times ({way})" for way, times in AIMS.items())
    text += f"\n\nMedians of {found['repetitions']}. Wanted at 8 hosts: {aims}. "
    text += f"Packing the software, once for each version of qkdbus: {found['packing_s']:.1f} s.\n\n![](deploy.png)\n"
    for way in WAYS:
        names = list(found["sizes"][-1][way]["phases"])
        lines = [[row["hosts"], *(row[way]["phases"].get(name, 0.0) for name in names)] for row in found["sizes"]]
        text += f"\nBy phase, s: {NAMES[way]}:\n\n{report.table(['hosts', *names], lines)}\n"
    return text + NOTE


def draw(found: dict[str, Any], file: Path) -> None:
    """Draw phases, stacked, against hosts: one picture for each way, each with its own scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, every = pyplot.subplots(1, len(WAYS), figsize=(12, 4.2))
    for axes, way in zip(every, WAYS, strict=True):
        hosts = [str(row["hosts"]) for row in found["sizes"]]
        below = [0.0] * len(hosts)
        for name in found["sizes"][-1][way]["phases"]:
            took = [max(0.0, row[way]["phases"].get(name, 0.0)) for row in found["sizes"]]
            axes.bar(hosts, took, 0.6, bottom=below, label=name)
            below = [one + other for one, other in zip(below, took, strict=True)]
        axes.set_title(NAMES[way])
        axes.set_xlabel("hosts")
        axes.set_ylabel("s until all is ready")
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Measure and write docs/deploy.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1,2,5,8")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="1 and 2 hosts, once; prints, and writes nothing")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("its hosts are namespaces, which needs root: sudo .venv/bin/python -m benchmarks.fleet")
    prepare()
    if reason := missing() or ancestor.needs(["ansible", "matplotlib", "pip"]):
        raise SystemExit(f"benchmarks.fleet: {reason}")
    where = report.machine()
    sizes = [1, 2] if asked.quick else [int(size) for size in asked.sizes.split(",")]
    found = measure(sizes, 1 if asked.quick else asked.repetitions)
    if not asked.quick:
        draw(found, report.DOCS / "deploy.png")
        report.write("deploy", "Deploying to hosts", "python -m benchmarks.fleet", page(found), found, where)
    print(page(found))


if __name__ == "__main__":
    main()
