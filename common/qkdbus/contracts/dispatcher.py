"""The dispatcher: which worker forms which key, when, and what happens if it dies."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ..wire.dispatcher_pb2 import (
    Cancel,
    Cancelled,
    Exchange,
    Exchanged,
    JobName,
    ListWorkers,
    Reserve,
    Reserved,
    Workers,
)
from .call import Call
from .contract import Contract, Method

CONTRACT = Contract(
    "dispatcher",
    {
        "reserve": Method(Reserve, Reserved, 5_000),
        "exchange": Method(Exchange, Exchanged, 120_000, event=True),
        "cancel": Method(Cancel, Cancelled, remember=False),
        "list_workers": Method(ListWorkers, Workers, remember=False),
    },
)


def notes(name: JobName, answer: object) -> dict[str, object]:
    """Return what is told of a call about an exchange, for those who follow its trace: no bit of key."""
    said: dict[str, object] = {"peer": name.peer[:64], "job": name.job}
    if isinstance(answer, Exchanged):
        if answer.HasField("block"):
            said |= {"block_id": answer.block.run.hex(), "bits": answer.block.length}
        else:
            said["failure"] = answer.failure
    return said


class Dispatcher(Protocol):
    """Asked by the keysync of the same node."""

    def reserve(self, request: Reserve, call: Call) -> Reserved | Awaitable[Reserved]: ...
    def exchange(self, request: Exchange, call: Call) -> Exchanged | Awaitable[Exchanged]: ...
    def cancel(self, request: Cancel, call: Call) -> Cancelled | Awaitable[Cancelled]: ...
    def list_workers(self, request: ListWorkers, call: Call) -> Workers | Awaitable[Workers]: ...
