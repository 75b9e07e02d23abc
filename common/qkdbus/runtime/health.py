"""`ping` and `describe`, the same for every contract: the runtime answers them beside the layer's own methods."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..contracts.call import Call
from ..wire.head_pb2 import Describe, Description, Health, Ping


@dataclass
class Vitals:
    """What a service says of itself.

    Attributes:
        waiting_for: "" when ready, else what it waits for.
        last_failure: the last thing that went wrong, for a person.
    """

    node: str
    layer: str
    replica: int
    implementation: str
    since: float
    configuration: Callable[[], str]  # JSON, without secrets; asked for when somebody wants to see it
    waiting_for: Callable[[], str] = lambda: "start"
    last_failure: str = ""
    counters: Counter[str] = field(default_factory=Counter)
    gauges: dict[str, Callable[[], float]] = field(default_factory=dict)


class Face:
    """A layer's object with `ping` and `describe` added; everything else is the layer's own."""

    def __init__(self, target: object, vitals: Vitals, contract_version: int) -> None:
        self._target, self._vitals, self._version = target, vitals, contract_version

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)

    def ping(self, request: Ping, call: Call) -> Health:
        """Say who this is and whether it is ready."""
        vitals = self._vitals
        waiting = vitals.waiting_for()
        return Health(
            node=vitals.node,
            layer=vitals.layer,
            replica=vitals.replica,
            implementation=vitals.implementation,
            contract_version=self._version,
            ready=not waiting,
            since=vitals.since,
            pid=os.getpid(),
            last_failure=vitals.last_failure,
            waiting_for=waiting,
        )

    def describe(self, request: Describe, call: Call) -> Description:
        """Give counters, gauges and the configuration (without secrets)."""
        gauges: Mapping[str, float] = {name: read() for name, read in self._vitals.gauges.items()}
        return Description(
            counters=dict(self._vitals.counters), gauges=gauges, configuration=self._vitals.configuration()
        )
