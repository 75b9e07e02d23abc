"""The qbackend: one exchange on one link, from pairs to a verified block."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ..wire.dispatcher_pb2 import Exchanged
from ..wire.qbackend_pb2 import Abort, Aborted, Attack, Attacked, Parcel, Run
from .call import Call
from .contract import Contract, Method

CONTRACT = Contract(
    "qbackend",
    {
        "run": Method(Run, Exchanged, 120_000, event=True),
        "abort": Method(Abort, Aborted, remember=False),
        "attack": Method(Attack, Attacked, remember=False),
    },
)
PEER = Contract("qbackend.peer", {"parcel": Method(Parcel, None)})


class QBackend(Protocol):
    """Asked by the dispatcher of the same node, and by the operator (`attack`)."""

    def run(self, request: Run, call: Call) -> Exchanged | Awaitable[Exchanged]: ...
    def abort(self, request: Abort, call: Call) -> Aborted | Awaitable[Aborted]: ...
    def attack(self, request: Attack, call: Call) -> Attacked | Awaitable[Attacked]: ...
