"""The live table: pure, two samples in, rows out. Rates are those between the two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..status import LayerStatus, LinkStatus
from . import catalogue
from .sample import SUPERVISORD, Meter, Sample, by_service, parse


@dataclass(frozen=True)
class LinkRow:
    """A link, as both of its ends see it. Rates in bit/s: over the last minute, and since the sample before."""

    link: str
    state: str
    key_rate: float
    rate_now: float | None
    qber: float | None
    s: float | None
    reservoir_bits: int
    keys_ready: tuple[int, int | None]
    failed: int
    alarm: str


@dataclass(frozen=True)
class StreamRow:
    """One end of a stream. `rate`: keys per s given to the application."""

    ksid: str
    node: str
    ends: str
    state: str
    rate: float | None
    buffered: int
    delivered: int
    expired: int


@dataclass(frozen=True)
class ServiceRow:
    """A process. `cpu`: share of one core; `memory`: octets (its part of shared pages, where that can be seen)."""

    node: str
    service: str
    state: str
    cpu: float | None
    memory: int | None
    restarts: int
    uptime: float | None
    calls: float | None
    refused: float | None
    reason: str


@dataclass(frozen=True)
class Board:
    """Everything at one moment."""

    network: str
    at: float
    state: str
    links: tuple[LinkRow, ...]
    streams: tuple[StreamRow, ...]
    services: tuple[ServiceRow, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return asdict(self)


def board(before: Sample | None, now: Sample, sort: str = "name") -> Board:
    """Compare two samples of a network; without the first there are no rates."""
    if before is not None and before.at >= now.at:
        before = None
    return Board(
        now.status.network,
        now.at,
        now.status.state,
        tuple(_sorted(_links(before, now), sort, {"rate": lambda row: row.key_rate}, lambda row: row.link)),
        tuple(_sorted(_streams(before, now), sort, {"rate": lambda r: r.rate or 0}, lambda r: (r.ksid, r.node))),
        tuple(_sorted(_services(before, now), sort, _SERVICE_KEYS, None)),
    )


def _sorted(
    rows: Iterable[Any],
    sort: str,
    keys: Mapping[str, Callable[[Any], float]],
    name: Callable[[Any], Any] | None,
) -> list[Any]:
    """Sort by name (None: as they come), then the largest first by the key."""
    found = sorted(rows, key=name) if name else list(rows)
    return sorted(found, key=keys[sort], reverse=True) if sort in keys else found


_SERVICE_KEYS: Mapping[str, Callable[[ServiceRow], float]] = {
    "cpu": lambda row: row.cpu or 0.0,
    "memory": lambda row: row.memory or 0,
    "restarts": lambda row: row.restarts,
    "rate": lambda row: row.calls or 0.0,
}


# -- links
def _links(before: Sample | None, now: Sample) -> Iterable[LinkRow]:
    ends = {(link.node, link.peer): link for link in now.status.links}
    for (node, peer), link in ends.items():
        other = ends.get((peer, node))
        if link.arbiter or other is None:  # each link once, as its arbiter sees it
            yield _link(before, now, link, other)


def _link(before: Sample | None, now: Sample, link: LinkStatus, other: LinkStatus | None) -> LinkRow:
    seen = [one for one in (link, other) if one is not None]
    last: Mapping[str, Any] = max((one.last or {} for one in seen), key=lambda said: said.get("finished_at", 0.0))
    alarm = next((one.alarm for one in seen if one.alarm), "")
    alarmed = link.state == "up" and other is not None and other.state == "alarm"
    return LinkRow(
        link=f"{link.node} - {link.peer}",
        state="alarm" if alarmed else link.state,
        key_rate=link.key_rate,
        rate_now=_grown(before, now, (link.node, "keysync", 0), f"key_bits{{peer={link.peer}}}"),
        qber=last["qber"] if last.get("disclosed") else None,
        s=last["s"] if last.get("s_error") else None,
        reservoir_bits=link.reservoir_bits,
        keys_ready=(link.buffered_keys, other.buffered_keys if other else None),
        failed=link.failed,
        alarm=alarm,
    )


def _grown(before: Sample | None, now: Sample, who: tuple[str, str, int], counter: str) -> float | None:
    """Return by how much a counter has grown per s; None when it was not there, or has begun anew."""
    if before is None:
        return None
    was, here = by_service(before).get(who), by_service(now).get(who)
    if was is None or here is None or counter not in was.counters or counter not in here.counters:
        return None
    return _rate(was.counters[counter], here.counters[counter], now.at - before.at)


def _rate(was: float, here: float, seconds: float) -> float | None:
    return (here - was) / seconds if here >= was else None


# -- streams
def _streams(before: Sample | None, now: Sample) -> Iterable[StreamRow]:
    earlier = {(one.ksid, one.node): one for one in before.status.streams} if before else {}
    for one in now.status.streams:
        was = earlier.get((one.ksid, one.node))
        rate = _rate(was.delivered, one.delivered, now.at - before.at) if was and before else None
        ends = f"{one.source} - {one.destination}"
        yield StreamRow(one.ksid, one.node, ends, one.state, rate, one.buffered, one.delivered, one.expired)


# -- services
def _services(before: Sample | None, now: Sample) -> Iterable[ServiceRow]:
    meters, earlier = by_service(now), by_service(before) if before else {}
    seconds = now.at - before.at if before else 0.0
    for node in now.status.nodes:
        who = (node.node, SUPERVISORD, 0)
        cpu, memory = _used(earlier.get(who), meters.get(who), seconds)
        state = node.state
        yield ServiceRow(node.node, SUPERVISORD, state, cpu, memory, node.restarts, None, None, None, node.reason)
        for layer in node.layers:
            which = (node.node, layer.layer, layer.replica)
            yield _service(node.node, layer, earlier.get(which), meters.get(which), seconds)


def _service(node: str, layer: LayerStatus, was: Meter | None, here: Meter | None, seconds: float) -> ServiceRow:
    name = f"{layer.layer} {layer.replica}" if layer.layer == "qbackend" else layer.layer
    cpu, memory = _used(was, here, seconds)
    reason = layer.reason or (f"swapped: {layer.swapped}" if layer.swapped else "")
    calls = _sum_rate(was, here, seconds, lambda base: base in catalogue.METHODS.get(layer.layer, ()))
    refused = _sum_rate(was, here, seconds, lambda base: base in ("refusals", "faults"))
    state, restarts, uptime = layer.state, layer.restarts, layer.uptime
    return ServiceRow(node, name, state, cpu, memory, restarts, uptime, calls, refused, reason)


def _used(was: Meter | None, here: Meter | None, seconds: float) -> tuple[float | None, int | None]:
    """Return the share of a core since the sample before, and octets of memory."""
    if here is None or here.use is None:
        return None, None
    memory = here.use.resident if here.use.proportional is None else here.use.proportional
    if was is None or was.use is None:
        return None, memory
    return _rate(was.use.cpu, here.use.cpu, seconds), memory


def _sum_rate(was: Meter | None, here: Meter | None, seconds: float, counts: Callable[[str], bool]) -> float | None:
    if was is None or here is None or not (was.answered and here.answered):
        return None
    before, now = (sum(n for name, n in one.counters.items() if counts(parse(name)[0])) for one in (was, here))
    return _rate(before, now, seconds)


# -- as text
def lines(found: Board, streams_at_most: int | None = None) -> list[str]:
    """Write a board as lines of text, links first, then processes, then streams."""
    when = time.strftime("%H:%M:%S", time.localtime(found.at))
    head = f"{found.network}: {found.state}, {when}"
    parts: list[list[str]] = [[head]]
    if found.links:
        parts.append(_table(_LINK, [_link_cells(row) for row in found.links]))
    parts.append(_table(_SERVICE, [_service_cells(row) for row in found.services]))
    if found.streams:
        shown = found.streams[:streams_at_most]
        parts.append(_table(_STREAM, [_stream_cells(row) for row in shown]))
        if len(shown) < len(found.streams):
            parts[-1].append(f"... and {len(found.streams) - len(shown)} more")
    return [line for part in parts for line in (*part, "")][:-1]


_LINK = ("link", "state", "key bit/s", "now", "QBER", "S", "reservoir", "keys here/there", "failed", "alarm")
_STREAM = ("stream", "at", "ends", "state", "keys/s", "buffered", "delivered", "expired")
_SERVICE = ("node", "service", "state", "CPU %", "MB", "restarts", "up", "calls/s", "refused/s", "reason")
_RIGHT = {
    *("key bit/s", "now", "QBER", "S", "reservoir", "failed", "keys/s", "buffered", "delivered", "expired"),
    *("CPU %", "MB", "restarts", "up", "calls/s", "refused/s"),
}


def _link_cells(row: LinkRow) -> Sequence[str]:
    here, there = row.keys_ready
    return (
        *(row.link, row.state, _short(row.key_rate), _short(row.rate_now)),
        *("-" if row.qber is None else f"{row.qber:.4f}", "-" if row.s is None else f"{row.s:.3f}"),
        *(_short(row.reservoir_bits), f"{here}/{'?' if there is None else there}", str(row.failed), row.alarm),
    )


def _stream_cells(row: StreamRow) -> Sequence[str]:
    counts = str(row.buffered), str(row.delivered), str(row.expired)
    return row.ksid[:8], row.node, row.ends, row.state, _short(row.rate), *counts


def _service_cells(row: ServiceRow) -> Sequence[str]:
    cpu = "-" if row.cpu is None else f"{100 * row.cpu:.1f}"
    memory = "-" if row.memory is None else f"{row.memory / 1e6:.1f}"
    used = cpu, memory, str(row.restarts), "-" if row.uptime is None else span(row.uptime)
    return row.node, row.service, row.state, *used, _short(row.calls), _short(row.refused), row.reason


def span(seconds: float) -> str:
    """Write a time that has passed."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _short(value: float | None) -> str:
    """Write a number in a few characters."""
    if value is None:
        return "-"
    for unit in ("", "k", "M", "G"):
        if abs(value) < 10_000 or unit == "G":
            break
        value /= 1000
    return f"{value:.0f}{unit}" if value >= 100 or value == int(value) else f"{value:.1f}{unit}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        ).rstrip()
        for row in (headings, *rows)
    ]
