"""A network at one moment: its status, and what each of its services says and uses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qkdbus.wire.head_pb2 import Describe, Description

from .. import nodes, status
from ..observe import ANY, Question, ask_many
from ..status import NetworkStatus
from .processes import Use, use

SUPERVISORD = "supervisord"


@dataclass(frozen=True)
class Buckets:
    """A histogram: `counts` per bucket, not summed up, one more than `bounds`; `total` of all values."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True)
class Meter:
    """One service, or a node's supervisord (`layer` is that then).

    Attributes:
        use: None when its process is not known.
        counters, gauges, histograms: as `describe` says, named "name" or "name{label=value,...}".
        answered: whether it said so.
    """

    node: str
    layer: str
    replica: int
    use: Use | None
    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Buckets] = field(default_factory=dict)
    answered: bool = False


@dataclass(frozen=True)
class Sample:
    """A whole network. `at`: Unix time, s; `took`: s to ask everybody."""

    at: float
    took: float
    status: NetworkStatus
    meters: tuple[Meter, ...]


def take(network: Path, patience: float = 1.0) -> Sample:
    """Ask everything of a network that was placed here; who does not answer within `patience` s is left out."""
    began = time.monotonic()
    found = status.look(network, patience)
    up = {node.node for node in found.nodes if node.state == "running"}
    here = [node for node in nodes.read_all(network) if node.name in up]
    asked = [
        Question((s.node, s.layer, s.replica), s.endpoint, ANY, "describe", Describe())
        for node in here
        for s in node.services
    ]
    answers = dict(ask_many(asked, patience))
    meters: list[Meter] = []
    for node in found.nodes:
        meters.append(Meter(node.node, SUPERVISORD, 0, use(node.pid) if node.pid else None))
        for one in node.layers:
            said = answers.get((node.node, one.layer, one.replica))
            meters.append(_meter(node.node, one.layer, one.replica, one.pid, said))
    return Sample(time.time(), time.monotonic() - began, found, tuple(meters))


def parse(name: str) -> tuple[str, dict[str, str]]:
    """Take "name{label=value,...}" apart."""
    base, brace, rest = name.partition("{")
    if not brace or not rest.endswith("}"):
        return name, {}
    pairs = (pair.partition("=") for pair in rest[:-1].split(","))
    return base, {label: value for label, _, value in pairs if label}


def by_service(sample: Sample) -> Mapping[tuple[str, str, int], Meter]:
    """Return the meters by node, layer and replica."""
    return {(meter.node, meter.layer, meter.replica): meter for meter in sample.meters}


def _meter(node: str, layer: str, replica: int, pid: int | None, said: object) -> Meter:
    used = use(pid) if pid else None
    if not isinstance(said, Description):
        return Meter(node, layer, replica, used)
    return Meter(
        node,
        layer,
        replica,
        used,
        dict(said.counters),
        dict(said.gauges),
        {name: Buckets(tuple(one.bounds), tuple(one.counts), one.sum) for name, one in said.histograms.items()},
        answered=True,
    )
