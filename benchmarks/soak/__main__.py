"""python -m benchmarks.soak: run it, judge it, write it down."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from qkdbus.network.model import Network
from qkdbus_deploy.sandbox import Sandbox, sandbox

from .. import report
from . import gauges, page
from .load import MANY, NETWORK, Ledger, Load
from .trend import Trend, judge

SAMPLES = 120  # in a run
WARM = 0.25  # of it does not count; at least:
SHORTEST_WARM = 2.0  # min
LEAST = 0.75  # of the samples after that must have a series, or it has no line


def main() -> None:
    """Run; exit status 1 when something grows, slows down, or goes wrong."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--report", type=Path, help="a Markdown file to write, with a picture beside it")
    asked = parser.parse_args()
    if asked.report is not None:
        (asked.report.parent / "data").mkdir(parents=True, exist_ok=True)  # not after an hour that there is no folder
    where = report.machine()
    found = run(asked.minutes)
    trends = lines(found)
    if asked.report is not None:
        _write(asked.report, found, trends, where)
    print(page.table(trends))
    for text in found["troubles"]:
        report.say(f"!! {text}")
    wrong = [trend for trend in trends if not trend.passed]
    report.say(f"{len(trends)} series, {len(wrong)} of them wrong; {found['compared']:,} keys compared")
    sys.exit(1 if wrong or found["troubles"] or not found["compared"] else 0)


def run(minutes: float) -> dict[str, Any]:
    """Load a network for so long; return what was read of it."""
    network = Network.model_validate(yaml.safe_load(NETWORK))
    with sandbox(network, report.say, patience=180.0) as box:
        ledger = Ledger()
        load = Load(box, ledger)
        load.start()
        series = _sample(box, ledger, minutes)
        load.stop()
    return {
        "minutes": minutes,
        "warm": max(min(SHORTEST_WARM, minutes / 2), WARM * minutes),
        "series": series,
        "compared": ledger.compared,
        "counts": ledger.counts,
        "troubles": ledger.troubles,
        "many": MANY,
    }


def _sample(box: Sandbox, ledger: Ledger, minutes: float) -> dict[str, tuple[list[float], list[float]]]:
    series: dict[str, tuple[list[float], list[float]]] = {}
    began, every = time.monotonic(), 60 * minutes / SAMPLES
    counted, at = dict(ledger.counts), began
    for number in range(1, SAMPLES + 1):
        time.sleep(max(0.0, began + number * every - time.monotonic()))
        now = time.monotonic()
        found = gauges.read(box) | dict(gauges.latencies(*ledger.drain()))
        counts = dict(ledger.counts)
        for what in counts:
            if what.startswith("keys "):
                found[f"rate/{what.removeprefix('keys ')}"] = (counts[what] - counted.get(what, 0)) / (now - at)
        counted, at = counts, now
        for name, value in found.items():
            there = series.setdefault(name, ([], []))
            there[0].append((now - began) / 60)
            there[1].append(value)
        if number % (SAMPLES // 10) == 0:
            memory = sum(value for name, value in found.items() if name.startswith("memory/"))
            said = f"{(now - began) / 60:.1f} min: {memory:.0f} MB in all, {ledger.compared:,} keys compared"
            report.say(said + "".join(f"; {text}" for text in ledger.troubles[-1:]))
    return series


def lines(found: dict[str, Any]) -> list[Trend]:
    """Return the line through every series that lasted, after the warm-up."""
    trends = []
    full = sum(at >= found["warm"] for at in max((s[0] for s in found["series"].values()), key=len))
    for name, (minutes, values) in found["series"].items():
        kept = [(at / 60, value) for at, value in zip(minutes, values, strict=True) if at >= found["warm"]]
        if len(kept) >= max(6, LEAST * full):
            trends.append(judge(name, [at for at, _ in kept], [value for _, value in kept]))
    return trends


def _write(file: Path, found: dict[str, Any], trends: list[Trend], where: dict[str, Any]) -> None:
    picture = file.with_suffix(".png")
    page.plot(found["series"], found["warm"], picture)
    about = (
        f"Measured {where['date']} on {where['cores']} cores ({where['cpu']}), {where['memory_gib']} GiB, "
        f"{where['system']}, Python {where['python']}. Repeat: `make soak`."
    )
    text = page.body(found, trends, picture.name)
    file.write_text(f"# An hour at steady load\n\n{about}\n\n{text}\n")
    data = file.parent / "data" / f"{file.stem}.json"
    kept = {name: value for name, value in found.items() if name != "series"}
    sizes = {name: s for name, s in found["series"].items() if name.startswith(("memory/", "resident/"))}
    kept["sizes"] = {name: [[round(value, 2) for value in axis] for axis in both] for name, both in sizes.items()}
    data.write_text(json.dumps({"machine": where, **kept, "trends": [asdict(t) for t in trends]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
