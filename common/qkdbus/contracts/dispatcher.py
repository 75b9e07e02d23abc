"""The dispatcher: which worker forms which key, when, and what happens if it dies."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ..wire.dispatcher_pb2 import (
    Cancel,
    Cancelled,
    Exchange,
    Exchanged,
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
        "exchange": Method(Exchange, Exchanged, 120_000),
        "cancel": Method(Cancel, Cancelled, remember=False),
        "list_workers": Method(ListWorkers, Workers, remember=False),
    },
)


class Dispatcher(Protocol):
    """Asked by the keysync of the same node."""

    def reserve(self, request: Reserve, call: Call) -> Reserved | Awaitable[Reserved]: ...
    def exchange(self, request: Exchange, call: Call) -> Exchanged | Awaitable[Exchanged]: ...
    def cancel(self, request: Cancel, call: Call) -> Cancelled | Awaitable[Cancelled]: ...
    def list_workers(self, request: ListWorkers, call: Call) -> Workers | Awaitable[Workers]: ...
