"""What the dispatcher remembers of an exchange under way, and of a link."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from qkdbus.wire.dispatcher_pb2 import Exchanged

from .workers import Worker


@dataclass(eq=False, slots=True)
class Job:
    """An exchange in progress. `call`: to the worker; None when it never began."""

    name: bytes
    peer: str
    worker: Worker
    outcome: asyncio.Future[Exchanged]
    call: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Tally:
    """The exchanges of one link: under way, ended with a block, lost with their worker."""

    running: int = 0
    done: int = 0
    lost: int = 0
