"""OSM's answers, and the errors that they become; the same for REST and for osmclient."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qkdbus.errors import Failed, QkdbusError, Refused, Unauthorised, Unavailable

from .order import Order

_STATUS = re.compile(r"\bError (\d{3})\b(?::\s*(\{.*\}))?", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What OSM answered: an HTTP status, and what came with it (read from JSON, or text)."""

    status: int
    body: Any = None

    @property
    def well(self) -> bool:
        """Say whether OSM did as it was asked."""
        return 200 <= self.status < 300

    @property
    def detail(self) -> str:
        """Return OSM's own words on what went wrong."""
        if isinstance(self.body, Mapping):
            return str(self.body.get("detail") or self.body.get("message") or self.body)
        return str(self.body or "no more was said")[:500]


def told_by_client(text: str) -> Answer | None:
    """Read the answer out of an error of osmclient, as in `...Error 409: {"detail": ...}`; None when there is none."""
    found = _STATUS.search(text)
    if not found:
        return None
    try:
        return Answer(int(found[1]), json.loads(found[2] or "null"))
    except ValueError:
        return Answer(int(found[1]), text)


def failure(order: Order, doing: str, answer: Answer) -> QkdbusError:
    """Return the error that an answer amounts to, with what was being done and what to do now."""
    said = f"OSM at {order.place} did not {doing}: {hide(order, answer.detail)} (HTTP {answer.status})"
    if answer.status == 401:
        return Unauthorised(f"{said}; check user, password and project ({order.user}, {order.project})")
    if answer.status >= 500 or answer.status in (408, 429):
        return Unavailable(f"{said}; try again later")
    if 300 <= answer.status < 400:
        return Refused(f"{said}; it sends us elsewhere: is {order.place} OSM's northbound interface?")
    return Refused(said)


def no_list(order: Order, doing: str) -> QkdbusError:
    """Return the error for an answer that is well and yet not of the kind that OSM gives."""
    return Failed(f"OSM at {order.place} answered oddly when asked to {doing}: is that OSM's northbound interface?")


def hide(order: Order, text: str) -> str:
    """Take the password out of a text, unless it is no secret because user or project are called the same."""
    if not order.password or order.password in (order.user, order.project):
        return text
    return text.replace(order.password, "***")
