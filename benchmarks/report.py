"""How results are written: one JSON file and one Markdown page each, saying machine, command and date."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def machine() -> dict[str, Any]:
    """Say what was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if "model name" in line)
    model = next(models, platform.machine())
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(pages * size / 2**30),
        "python": platform.python_version(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "date": time.strftime("%Y-%m-%d"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def write(name: str, title: str, command: str, body: str, data: Any, where: dict[str, Any]) -> None:
    """Write docs/<name>.md and docs/data/<name>.json."""
    (DOCS / "data").mkdir(parents=True, exist_ok=True)
    about = (
        f"Measured {where['date']} on {where['cores']} cores ({where['cpu']}), {where['memory_gib']} GiB, "
        f"{where['system']}, Python {where['python']}. Repeat: `{command}`."
    )
    (DOCS / f"{name}.md").write_text(f"# {title}\n\n{about}\n\n{body.strip()}\n")
    (DOCS / "data" / f"{name}.json").write_text(json.dumps({"machine": where, "results": data}, indent=1) + "\n")


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
