"""Put a network under fire and say what held. `--nodes 3 --nodes 8` does both; the page is of all runs of a command."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from .. import report
from . import page
from .places import inside
from .run import Wanted, run

TITLE = "Networks under fire"


def main() -> None:
    """Run, report, and end with 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--nodes", type=int, choices=(3, 8), action="append", help="3 (default) or 8, or both")
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults, each run (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default 1)")
    parser.add_argument("--rate", type=float, default=23.0, help="faults per minute (default 23)")
    parser.add_argument("--report", type=Path, help="write the page here, and all faults to data/NAME.json beside it")
    parser.add_argument("--keep", action="store_true", help="keep what that page says of the other network")
    parser.add_argument("--logs", type=Path, help="leave the nodes' logs here")
    asked = parser.parse_args()
    if os.geteuid() == 0 and not inside():
        _go_inside()
    where, runs = page.facts(), []
    for nodes in asked.nodes or [3]:
        wanted = Wanted(
            nodes, 60 * asked.minutes, asked.seed, round(asked.rate * asked.minutes), logs=_logs(asked.logs, nodes)
        )
        runs.append(page.data(run(wanted, report.say)))
        found = runs[-1]["violations"]
        landed = sum(fault["landed"] for fault in runs[-1]["faults"])
        report.say(f"{nodes} nodes: {landed} faults, {runs[-1]['keys']} keys, {len(found)} violations")
        for kind, text in found[:20]:
            report.say(f"  {kind}: {text}")
        if asked.report:
            _write(asked.report, [*_kept(asked.report, runs, asked.keep), *runs], where)
    sys.exit(any(one["violations"] for one in runs))


def _go_inside() -> None:
    """Go on with a network and mounts of our own, when that can be had: what is done to them is nobody else's."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--net", "--mount", "true"]).returncode:
        report.say("no namespaces to be had here: packets are not lost, and disks not filled to the last octet")
        return
    if shutil.which("nft") is None:
        report.say("no nft here (Debian: apt-get install nftables): packets are not lost, and none come twice")
    os.environ["QKDBUS_CHAOS_INSIDE"] = "yes"
    again = 'ip link set lo up && exec "$@"'
    words = ["unshare", "--net", "--mount", "--propagation", "private", "--", "sh", "-c", again, "sh"]
    os.execvp("unshare", [*words, sys.executable, "-m", "benchmarks.chaos", *sys.argv[1:]])


def _logs(folder: Path | None, nodes: int) -> Path | None:
    if folder is None:
        return None
    (folder / str(nodes)).mkdir(parents=True, exist_ok=True)
    return folder / str(nodes)


def _kept(file: Path, runs: list[dict[str, Any]], keep: bool) -> list[dict[str, Any]]:
    """Return the runs of other networks that the page tells of so far."""
    data = _data(file)
    if not keep or not data.exists():
        return []
    new = {one["nodes"] for one in runs}
    return [one for one in json.loads(data.read_text())["runs"] if one["nodes"] not in new]


def _data(file: Path) -> Path:
    return file.parent / "data" / f"{file.stem}.json"


def _write(file: Path, runs: list[dict[str, Any]], where: dict[str, Any]) -> None:
    """Write the page, and beside it the data."""
    runs.sort(key=lambda one: one["nodes"])
    _data(file).parent.mkdir(parents=True, exist_ok=True)
    about = (
        f"Measured {where['date']} on {where['cores']} cores ({where['cpu']}), {where['memory_gib']} GiB, "
        f"{where['system']}, Python {where['python']}. Repeat: `{_command()}`."
    )
    _data(file).write_text(json.dumps({"machine": where, "runs": runs}, indent=1) + "\n")
    file.write_text(f"# {TITLE}\n\n{about}\n\n{page.body(runs, where)}\n")


def _command() -> str:
    sudo = "sudo " if os.geteuid() == 0 else ""
    return f"{sudo}.venv/bin/python -m benchmarks.chaos --nodes 3 --nodes 8 --report docs/chaos.md"


if __name__ == "__main__":
    main()
