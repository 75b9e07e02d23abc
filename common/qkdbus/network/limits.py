"""How much one application (one credential) may take of a node, at most. Within that, all get the same share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Model


class Limits(Model):
    """Of the door for applications of each node."""

    connections: Annotated[int, Field(ge=1)] = 256  # of one credential; beyond, those idle longest are ended
    all_connections: Annotated[int, Field(ge=8)] = 1024  # of all, strangers that say nothing among them
    unanswered: Annotated[int, Field(ge=1)] = 4096  # calls of one credential that wait; others are refused
    unread_octets: Annotated[int, Field(ge=1 << 20)] = 64 << 20  # of answers that a credential does not read
    calls_per_s: Annotated[float, Field(gt=0)] | None = None  # of one credential; None: as many as there is room for
    octets_per_s: Annotated[float, Field(ge=1 << 16)] | None = None  # likewise, of what it sends
