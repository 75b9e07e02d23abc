"""`ping` and `describe`, the same for every contract: the runtime answers them beside the layer's own methods."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..contracts.call import Call
from ..meters import Histogram
from ..wire import head_pb2 as wire
from ..wire.head_pb2 import Describe, Description, Health, Ping


@dataclass
class Vitals:
    """What a service says of itself.

    Attributes:
        waiting_for: "" when ready, else what it waits for.
        last_failure: the last thing that went wrong, for a person.
        counters: what has been counted since the start; only grows.
        totals: likewise, read from where it is counted when somebody asks.
        gauges: what is so now.
        histograms: by name; named, as all of these, "name" or "name{label=value}" (`part`).
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
    totals: dict[str, Callable[[], int]] = field(default_factory=dict)
    gauges: dict[str, Callable[[], float]] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    latencies: dict[str, Histogram] = field(default_factory=dict)  # s, by method


def part(name: str, **labels: object) -> str:
    """Name a counter, gauge or histogram of a part of a service, as in `part("key_bits", peer="Bob")`.

    A label's value keeps letters, digits and `._:-` only: whatever a neighbour or a file says, the name can be read.
    """
    if not labels:
        return name
    said = ",".join(f"{label}={_plain(value)}" for label, value in labels.items())
    return f"{name}{{{said}}}"


def _plain(value: object) -> str:
    return "".join(c if c.isalnum() or c in "._:-" else "_" for c in str(value))[:64]


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
        """Give counters, gauges, histograms and the configuration (without secrets)."""
        vitals = self._vitals
        gauges: Mapping[str, float] = {
            name: value for name, read in vitals.gauges.items() if not math.isnan(value := read())
        }
        counters = {**vitals.counters, **{name: read() for name, read in vitals.totals.items()}}
        answer = Description(counters=counters, gauges=gauges, configuration=vitals.configuration())
        latencies = {part("seconds", method=name): taken for name, taken in vitals.latencies.items()}
        for name, taken in {**latencies, **vitals.histograms}.items():
            if any(taken.counts):
                said = wire.Histogram(bounds=taken.bounds, counts=taken.counts, sum=taken.total)
                answer.histograms[name].CopyFrom(said)
        return answer
