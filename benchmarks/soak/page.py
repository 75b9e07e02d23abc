"""The page and the picture of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import report
from .trend import LIMITS, Trend

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # name -> (minutes, values)
PANELS = ("memory", "resident", "files", "state", "logs", "latency", "echo", "beside", "rate")
TITLES = {
    "memory": "memory (PSS), MB",
    "resident": "resident memory (RSS), MB",
    "files": "descriptors",
    "state": "state files, kB",
    "logs": "logs of a node, kB",
    "latency": "get_key on the ideal link, ms",
    "echo": "a bare echo, ms",
    "beside": "get_key, in times of a bare echo",
    "rate": "keys a second",
}


def table(trends: Sequence[Trend]) -> str:
    """Return every series with its line and verdict; of each kind the steepest first."""
    rows = []
    for kind in PANELS:
        unit = LIMITS[kind].unit
        those = sorted((t for t in trends if t.name.startswith(f"{kind}/")), key=lambda t: -t.slope)
        for found in those:
            name = found.name.partition("/")[2].partition(" #")[0]
            line = f"{found.slope:+.3g} ± {found.error:.2g}"
            verdict = "pass" if found.passed else "**FAIL**"
            allowed = f"{'-' if kind == 'rate' else ''}{found.allowed:.3g}"
            rows.append([TITLES[kind].partition(",")[0], name, found.mean, unit, line, allowed, verdict])
    return report.table(["what", "of", "mean", "unit", "slope an hour", "allowed", "verdict"], rows)


def plot(series: Series, warm: float, file: Path) -> None:
    """Draw every series over the minutes of the run; before `warm` it does not count."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(5, 2, figsize=(12, 17), sharex=True)
    for kind, axes in zip(PANELS, grid.flat, strict=False):  # and one that stays empty
        for name, (minutes, values) in sorted(series.items()):
            if name.startswith(f"{kind}/"):
                label = name.partition("/")[2].partition(" #")[0]
                axes.plot(minutes, values, linewidth=0.9, label=label)
        axes.axvspan(0, warm, color="0.92")
        axes.set_title(TITLES[kind], fontsize=10)
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
        if kind in ("latency", "echo", "beside", "rate", "logs"):
            axes.legend(fontsize=7)
    for axes in grid[-1]:
        axes.set_xlabel("minutes")
    grid.flat[-1].set_visible(len(PANELS) == grid.size)
    figure.tight_layout()
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def body(found: Mapping[str, Any], trends: Sequence[Trend], picture: str) -> str:
    """Return the results as Markdown."""
    failed = [t.name for t in trends if not t.passed]
    verdict = "Nothing grows." if not failed and not found["troubles"] else "**Something is wrong.**"
    done = ", ".join(f"{count:,} {what}" for what, count in sorted(found["counts"].items()))
    troubles = "\n".join(f"- {text}" for text in found["troubles"][:20])
    return f"""\
{verdict} {found["minutes"]:g} minutes, of which the first {found["warm"]:.1f} do not count.

Three nodes, each linked with the others: Alice - Bob over SimulaQron, Bob - Charlie photonic (a twentieth of real
time), Alice - Charlie ideal. A reader at each end of each link takes every key, one and {found["many"]} a call in
turns. On each link a stream is opened at both ends, gives a key at each, and is closed, again and again; credentials
are added and revoked; the dispatcher of Charlie is swapped for another process and back. {found["compared"]:,} keys
were compared at both ends: none differed, none was missing. {done}.

{troubles}

Memory is PSS: what is shared counts in part. A process that was forked shares most pages with its parent until it
writes on them, so its PSS can rise up to what it has resident (RSS), which does not change by that; and it rises when
another process that shares them ends. A leak shows in both.

The slope is that of the least-squares line through means of neighbouring points, with its standard error. A series
fails when its line rises (a rate: falls) by more than is allowed, and by more than three errors. How long a call takes
depends on the machine too, so it is also judged beside calls to a bare echo, from the same process in the same minutes.

![memory, descriptors, files, latency]({picture})

{table(trends)}

Processes that were started anew meanwhile (the swapped layer) have no line. WAL files and logs may rise up to where
they are begun anew (16 MB; 5 MB, with three older ones); they fail beyond that."""
