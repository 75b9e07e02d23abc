"""The emulator program: the virtual quantum node, where the qubits live. Source and sink ask their own."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ..wire.emulator_pb2 import (
    AwaitPairs,
    Batch,
    CreatePairs,
    Discard,
    Discarded,
    Disturb,
    Disturbed,
    Lines,
    ListLines,
    Measure,
    Outcomes,
)
from ..wire.qbackend_pb2 import Attack, Attacked
from .call import Call
from .contract import Contract, Method

CONTRACT = Contract(
    "emulator",
    {
        "create_pairs": Method(CreatePairs, Batch, 260_000),
        "await_pairs": Method(AwaitPairs, Batch, 260_000),
        "measure": Method(Measure, Outcomes, 260_000),
        "discard": Method(Discard, Discarded, remember=False, event=True),
        "disturb": Method(Disturb, Disturbed, remember=False),
        "attack": Method(Attack, Attacked, remember=False),
        "list_lines": Method(ListLines, Lines, remember=False),
    },
)


class EmulatorProgram(Protocol):
    """Asked by the qbackend workers of the same node."""

    def create_pairs(self, request: CreatePairs, call: Call) -> Batch | Awaitable[Batch]: ...
    def await_pairs(self, request: AwaitPairs, call: Call) -> Batch | Awaitable[Batch]: ...
    def measure(self, request: Measure, call: Call) -> Outcomes | Awaitable[Outcomes]: ...
    def discard(self, request: Discard, call: Call) -> Discarded | Awaitable[Discarded]: ...
    def disturb(self, request: Disturb, call: Call) -> Disturbed | Awaitable[Disturbed]: ...
    def attack(self, request: Attack, call: Call) -> Attacked | Awaitable[Attacked]: ...
    def list_lines(self, request: ListLines, call: Call) -> Lines | Awaitable[Lines]: ...
