"""How the links of this node are, as keysync says; asked when somebody needs to know, and kept for a moment."""

from __future__ import annotations

from collections.abc import Callable

from qkdbus.errors import QkdbusError
from qkdbus.wire.keysync_pb2 import LinkStatusAsked

from .ports import Asks

FRESH = 0.25  # s
PATIENCE = 0.5
UNKNOWN = "unknown"  # our own keysync does not answer


class Links:
    """The states of all links: up, silent, alarm, down; or unknown."""

    def __init__(self, keysync: Asks, monotonic: Callable[[], float]) -> None:
        self._keysync, self._monotonic = keysync, monotonic
        self._states: dict[str, tuple[str, str]] = {}
        self._asked_at = -1e9

    async def state(self, peer: str) -> tuple[str, str]:
        """Return the state of the link to `peer`, and the alarm's text if there is one."""
        if self._monotonic() - self._asked_at > FRESH:
            try:
                links = await self._keysync.ask("link_status", LinkStatusAsked(), patience=PATIENCE)
            except QkdbusError:
                return UNKNOWN, ""
            self._states = {link.peer: (link.state, link.alarm) for link in links.links}
            self._asked_at = self._monotonic()
        return self._states.get(peer, ("down", "keysync has no such link"))

    def stale(self) -> None:
        """Ask again next time: something has happened."""
        self._asked_at = -1e9
