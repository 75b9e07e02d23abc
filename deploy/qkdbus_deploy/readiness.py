"""Waiting until services are ready, and telling why one is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from qkdbus.errors import QkdbusError

from . import logbook
from .control import Supervisord
from .nodes import Node, Service
from .observe import wait_ready
from .outcome import Unready
from .words import count

CRASH_LOOP = 5  # starts of one service after which we no longer wait for it
LOG_LINES = 15  # of a service that does not become ready
Say = Callable[[str], None]


def wait(found: Sequence[Node], services: Sequence[Service], patience: float, say: Say) -> tuple[Unready, ...]:
    """Wait at most `patience` s until these services of the nodes `found` are ready; return those that are not."""
    left = {service: service.endpoint for service in services}
    total, began = len(left), time.monotonic()

    def told(service: Service) -> None:
        left.pop(service)
        if total - len(left) == total or (total - len(left)) % 50 == 0:
            took = time.monotonic() - began
            say(f"{total - len(left)} of {count(total, 'service')} ready ({took:.1f} s)")

    by_name = {node.name: node for node in found}
    reasons = wait_ready(dict(left), patience, told, _Crashing(by_name, left))
    return tuple(_unready(by_name[s.node], s, reason) for s, reason in reasons.items())


class _Crashing:
    """Whether a service that we wait for dies again and again: asked once a second, of its supervisord."""

    def __init__(self, found: Mapping[str, Node], left: Mapping[Service, str]) -> None:
        self._found, self._left = found, left
        self._next = time.monotonic() + 1.0

    def __call__(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + 1.0
        return any(self._crashes(service) for service in list(self._left)[:20])

    def _crashes(self, service: Service) -> bool:
        try:
            program = Supervisord(self._found[service.node].settings.run).programs()[service.program]
        except (QkdbusError, KeyError):
            return False
        return program.starts >= CRASH_LOOP and program.state in ("backoff", "fatal")


def _unready(node: Node, service: Service, reason: str) -> Unready:
    lines = logbook.last(node.directory, [service.program], LOG_LINES, "debug")
    control = Supervisord(node.settings.run)
    try:
        program = control.programs()[service.program]
        if program.pid == 0:
            reason = f"ends again and again ({program.starts} starts)" if program.starts > 1 else program.state
    except (QkdbusError, KeyError) as error:
        reason = str(error)
    return Unready(node.name, service.layer, service.program, reason, tuple(line.raw for line in lines))
