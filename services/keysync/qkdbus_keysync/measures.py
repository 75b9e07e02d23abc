"""What keysync says of each link in numbers: read when somebody asks, counted by whoever does the work."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from qkdbus.runtime import Room
from qkdbus.runtime.health import part

from .health import Totals
from .link import Link

# name in `describe` -> what it is of the link's totals
COUNTED = {
    "blocks": "blocks",
    "key_bits": "length",
    "exchanges_failed": "failed",
    "signals_created": "created",
    "signals_sifted_out": "sifted_out",
    "bits_disclosed": "disclosed",
    "bits_kept": "kept",
    "bits_leaked": "leaked",
    "alarms": "alarms",
}


def measure(room: Room, link: Link, running: Callable[[], bool]) -> None:
    """Have a link's numbers told by `describe`; `running`: the store can be read."""
    peer = link.end.peer
    for name, field in COUNTED.items():
        room.totals[part(name, peer=peer)] = partial(_count, link.health.totals, field)
    gauges: dict[str, Callable[[], float]] = {
        "link_up": lambda: float(link.state == "up"),
        "link_alarm": lambda: float(bool(link.health.alarm)),
        "key_rate": lambda: link.health.rate(room.monotonic()),
        "qber": lambda: link.health.totals.qber if link.health.totals.last is not None else math.nan,
        "s": lambda: _chsh(link.health.totals),
        "reservoir_bits": lambda: float(link.end.link.reservoir_bits),
        "keys_ready": lambda: float(link.end.material.available_count()) if running() else math.nan,
        "exchanges_running": lambda: float(link.running),
        "decisions_unacknowledged": lambda: float(link.end.link.seq - link.end.link.applied),
        "epoch": lambda: float(link.end.link.epoch.n),
    }
    for name, read in gauges.items():
        room.gauges[part(name, peer=peer)] = read


def _count(totals: Totals, field: str) -> int:
    return int(getattr(totals, field))


def _chsh(totals: Totals) -> float:
    return totals.last.s if totals.last is not None and totals.last.s_error else math.nan
