"""The programs of a layer, switched on and off in a node that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from qkdbus.errors import Refused, Unavailable

from .control import Supervisord
from .nodes import Node


def start(found: Sequence[Node], layer: str | None) -> None:
    """Have the programs of a layer run at these nodes, or (None) all of them."""
    for node in found:
        control = Supervisord(node.settings.run)
        for service in node.of(layer):
            _patiently(partial(control.start, service.program))


def stop(node: Node, layer: str) -> None:
    """Stop the programs of a layer, and wait until they have ended. Unavailable when one does not."""
    control = Supervisord(node.settings.run)
    programs = [service.program for service in node.of(layer)]
    for program in programs:
        control.stop(program)
    ends = time.monotonic() + 10.0
    while any(control.programs()[program].pid for program in programs):
        if time.monotonic() > ends:
            raise Unavailable(f"{node.name} {layer}: does not stop")
        time.sleep(0.02)


def _patiently(act: Callable[[], None], patience: float = 5.0) -> None:
    """Repeat while supervisord is not there yet."""
    ends = time.monotonic() + patience
    while True:
        try:
            return act()
        except Refused:
            raise
        except Unavailable:
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)
