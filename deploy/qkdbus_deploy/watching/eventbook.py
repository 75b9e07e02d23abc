"""The events of services: those that are kept, those that come, and whether any is missing.

What a service of ours publishes it also keeps (`logs/<program>.events.log`), so a reader of these files misses nothing.
A layer of somebody else's may publish and keep nothing: it is heard at its socket. Most events are met twice that way,
and are told once.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import zmq
from google.protobuf.message import DecodeError

from qkdbus.wire.head_pb2 import Event

from .. import logbook
from ..logbook import EVENTS, Line
from ..nodes import Node, Service

GAP = "gap"  # the event that says how many are missing; field `missing`
NOW = Line(0.0, "", "", "", "")  # no event: passes, and parts what was from what comes
REMEMBERED = 8192  # events told, so that none is told twice
EVERY = 0.1  # s between two looks
MOST = 1000  # events of one look at the sockets
_OWN = ("at", "level", "event")


def endpoints(found: Sequence[Node], layer: str | None) -> list[str]:
    """Return where the services of these nodes publish."""
    if layer == logbook.SUPERVISORD:
        return []
    return [_endpoint(node, service) for node in found for service in node.of(layer)]


def _endpoint(node: Node, service: Service) -> str:
    replicated = service.layer == "qbackend"
    return node.settings.ipc(f"{service.layer}.{service.replica}.events" if replicated else f"{service.layer}.events")


class Ear:
    """Hears whoever publishes at these endpoints, from now on; a publisher may start later."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        for endpoint in endpoints:
            self._socket.connect(endpoint)

    def hear(self, within: float) -> list[Line]:
        """Return what has come, waiting at most `within` s for the first."""
        if not self._socket.poll(int(1e3 * within)):
            return []
        lines: list[Line] = []
        while len(lines) < MOST:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if len(frames) == 2:
                try:
                    lines.append(as_line(Event.FromString(frames[1])))
                except DecodeError:
                    continue
        return lines

    def close(self) -> None:
        """Stop listening."""
        self._context.destroy(linger=0)


def as_line(event: Event) -> Line:
    """Return an event as a line of a log."""
    program = f"{event.layer}_{event.replica}" if event.layer == "qbackend" else event.layer
    who = {"node": event.node, "layer": event.layer, "replica": event.replica, "number": event.number}
    fields: dict[str, Any] = {**event.fields, **who}
    return Line(round(event.at, 6), event.node, f"{program}{EVENTS}", "info", event.name, fields)


def follow(logs: Mapping[Path, Sequence[str]], endpoints: Sequence[str]) -> Iterator[Line]:
    """Yield events as they come, from now on, for ever."""
    tails = [logbook.Tail(node, name) for node, names in logs.items() for name in names]
    return _coming(tails, Ear(endpoints))


def _coming(tails: Sequence[logbook.Tail], ear: Ear) -> Iterator[Line]:
    try:
        while True:
            heard = ear.hear(EVERY)  # first: what was heard has been written already
            kept = [line for tail in tails for line in tail.read()]
            yield from sorted(kept + heard, key=lambda line: line.at)  # of one event, first the one that says more
    finally:
        ear.close()


def once(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield each event once, and a line `gap` where some of a service's are missing.

    Lines without a number pass.
    """
    told: OrderedDict[tuple[object, ...], None] = OrderedDict()
    counts: defaultdict[tuple[object, ...], _Count] = defaultdict(_Count)
    for line in lines:
        number = line.fields.get("number")
        if not isinstance(number, int):
            yield line
            continue
        who = line.node, line.fields.get("layer"), line.fields.get("replica")
        missing = counts[who].missing(line, number)
        if missing:
            fields = {"layer": who[1], "replica": who[2], "missing": missing, "before": number}
            yield Line(line.at, line.node, line.program, "warning", GAP, fields)
        key = (*who, number, int(line.at * 1e3))
        if key in told:
            continue
        told[key] = None
        if len(told) > REMEMBERED:
            told.popitem(last=False)
        yield line


class _Count:
    """The events of one service, which are numbered from 1 since its start, as far as they were met.

    A line that was written says how many before it were not (`unkept`). An event that was heard says nothing of those
    before it: the ear may have listened only since. So a service that is seen to keep its events misses some only
    where two that it kept say so; one that keeps none, where two that were heard do.
    """

    def __init__(self) -> None:
        self._newest, self._at = 0, -1.0  # number and time; -1: none was met
        self._kept: int | None = None  # the newest that was read; None: none was
        self._heard: set[int] = set()  # newer ones that were heard

    def missing(self, line: Line, number: int) -> int:
        """Return how many events are missing before this one, as this one shows."""
        first, newer, later = self._at < 0, number > self._newest, line.at > self._at
        if first:
            self._newest, self._at = number, line.at
        elif not newer and later:  # it has started anew
            self._newest, self._kept = 0, None if self._kept is None else 0
            self._heard.clear()
        elif newer and line.at < self._at:
            return 0  # of before it started anew
        before, self._newest, self._at = self._newest, max(self._newest, number), max(self._at, line.at)
        if line.raw:
            return self._read(line, number)
        if self._kept is None:
            return max(0, number - before - 1)
        if number > self._kept and len(self._heard) < REMEMBERED:
            self._heard.add(number)
        return 0

    def _read(self, line: Line, number: int) -> int:
        before, unkept = self._kept, line.fields.get("unkept", 0)
        self._kept = max(number, before or 0)
        heard = sum(one < number for one in self._heard)
        self._heard = {one for one in self._heard if one > self._kept}
        if before is None or number <= before:
            return 0  # what came before the first that we see is not missing
        return max(0, number - before - 1 - max(heard, unkept if isinstance(unkept, int) else 0))


def plain(line: Line) -> dict[str, Any]:
    """Return an event as data for JSON."""
    fields = {name: value for name, value in line.fields.items() if name not in (*_OWN, "node")}
    return {"at": line.at, "node": line.node, "event": line.event, **fields}


def topic(line: Line) -> str:
    """Return what the event is published as: node.layer.event."""
    return f"{line.node}.{line.fields.get('layer', '')}.{line.event}"
