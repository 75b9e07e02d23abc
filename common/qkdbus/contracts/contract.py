"""A contract: the methods of one boundary, with the type of each request and answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from ..wire.head_pb2 import Describe, Description, Health, Ping


@dataclass(frozen=True, slots=True)
class Method:
    """One thing that can be asked.

    Attributes:
        request, answer: protobuf classes; `answer` is None for a notice.
        patience_ms: how long a caller waits when it does not say.
        remember: the server keeps the answer and gives it again to the same call, so that a lost answer
            can be asked for again. Off where the service itself is idempotent or remembers better.
        event: a call of it is rare, and worth an event ("called") that is kept: who wants to know later what was done
            for an exchange finds it there, whatever the log says.
    """

    request: type[Message]
    answer: type[Message] | None
    patience_ms: int = 5_000
    remember: bool = True
    event: bool = False


@dataclass(frozen=True)
class Contract:
    """A boundary: name, version (grows when a message changes its meaning), methods by name."""

    name: str
    methods: Mapping[str, Method]
    version: int = 1

    def __post_init__(self) -> None:
        common = {
            "ping": Method(Ping, Health, 1_000, remember=False),
            "describe": Method(Describe, Description, 1_000, remember=False),
        }
        object.__setattr__(self, "methods", {**self.methods, **common})
