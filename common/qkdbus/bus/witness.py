"""Who hears of the calls that a server has answered: how long they took, and of some what came of them."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from ..contracts.call import Call
from ..contracts.contract import Method
from ..meters import Histogram


@dataclass(frozen=True, slots=True)
class Told:
    """A call that was carried out.

    Attributes:
        outcome: ok, or the outcome in small letters (refused, unauthorised, exhausted, unavailable, failed).
        seconds: since the server woke up for it.
        notes: what the layer says of it beside (`notes(method, request, answer)` of the served object), no secrets.
    """

    contract: str
    name: str
    method: Method
    call: Call
    outcome: str
    seconds: float
    notes: dict[str, object]


class Witness:
    """One for all servers of a service.

    Attributes:
        verbose: `called` hears of every call, not only of those that somebody wants to read of.
        latencies: s that calls took, by method: from the server's wake-up to the answer, commit included.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self.latencies: dict[str, Histogram] = {}

    def latency(self, method: str) -> Histogram:
        """Return the histogram of a method."""
        return self.latencies.setdefault(method, Histogram())

    def called(self, told: Told) -> None:
        """Hear of a call."""


def explain(target: object, name: str, request: Message, answer: Message | None) -> dict[str, object]:
    """Return what the served object says of a call, if it does."""
    notes = getattr(target, "notes", None)
    return notes(name, request, answer) if callable(notes) else {}
