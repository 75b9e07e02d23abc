"""Logs of many hosts followed as one: each host is asked again and again, and waits a while for a new line."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qkdbus.errors import QkdbusError

from .. import parcel
from ..logbook import Line
from .agents import Agent
from .hands import Hands

Found = list[Line] | QkdbusError


def merged(
    hands: Hands, agents: Sequence[Agent], request: Mapping[str, Any], patience: float, say: Callable[[str], None]
) -> Iterator[Line]:
    """Yield lines as they come from any host, until none is left. Raises the failure of the last one.

    `patience`: s for one answer.
    """
    found: queue.SimpleQueue[Found] = queue.SimpleQueue()
    for agent in agents:
        threading.Thread(target=_follow, args=(agent, request, patience, found), daemon=True).start()
    left = len(agents)
    try:
        while left:
            one = _take(found)
            if isinstance(one, QkdbusError):
                left -= 1
                if not left:
                    raise one
                say(str(one))
            else:
                yield from one
    finally:
        hands.close()  # ends what the threads wait for


def _take(found: queue.SimpleQueue[Found]) -> Found:
    while True:  # now and then, so that Ctrl-C is heard
        try:
            return found.get(timeout=0.2)
        except queue.Empty:
            continue


def _follow(agent: Agent, request: Mapping[str, Any], patience: float, found: queue.SimpleQueue[Found]) -> None:
    try:
        cursors = agent.ask({**request, "cursors": None}, patience)["cursors"]
        while True:
            answer = agent.ask({**request, "cursors": cursors}, patience)
            cursors = answer["cursors"]
            found.put(parcel.lines(answer["lines"]))
    except QkdbusError as error:
        found.put(error)
