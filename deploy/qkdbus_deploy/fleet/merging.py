"""Answers of many hosts, made into one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qkdbus.errors import QkdbusError

from .. import nodes, parcel
from ..outcome import Deployed, Trouble
from ..status import LayerStatus, NetworkStatus, NodeStatus
from ..watching.sample import Sample
from .record import Record


def deployed(network: str, known: Record, results: Mapping[str, Any], step: str) -> Deployed:
    """Return what a verb came to on all hosts."""
    good = [parcel.deployed(answer) for answer in results.values() if not isinstance(answer, QkdbusError)]
    return Deployed(
        network,
        tuple(node for one in good for node in one.changed),
        (),
        sum(one.services for one in good),
        max((one.seconds for one in good), default=0.0),
        tuple(service for one in good for service in one.unready),
        tuple(_troubles(known, results, step)),
    )


def status(network: str, folder: Path, known: Record, results: Mapping[str, Any]) -> NetworkStatus:
    """Return the status of a network from those of its hosts; what cannot be asked is silent, with the reason."""
    shares = {host: parcel.status(answer) for host, answer in results.items() if not isinstance(answer, QkdbusError)}
    found = {one.node: replace(one, host=host) for host, share in shares.items() for one in share.nodes}
    seen = []
    for name, seat in known.seats.items():
        reason = str(results.get(seat.host, "")) if seat.host not in shares else "nothing of it is there: deploy again"
        seen.append(found[name] if name in found else _unknown(folder, name, seat.host, reason))
    parents = [share.warm_parent for share in shares.values()]
    return NetworkStatus(
        network,
        parents[0] if parents and all(parents) else None,
        tuple(seen),
        tuple(link for share in shares.values() for link in share.links),
        tuple(stream for share in shares.values() for stream in share.streams),
        workers=tuple(worker for share in shares.values() for worker in share.workers),
        jobs=tuple(jobs for share in shares.values() for jobs in share.jobs),
    )


def sample(network: str, folder: Path, known: Record, results: Mapping[str, Any], took: float) -> Sample:
    """Return the sample of a network from those of its hosts; who cannot be asked is missing in it."""
    shares = {host: parcel.sample(answer) for host, answer in results.items() if not isinstance(answer, QkdbusError)}
    answers = {host: answer["status"] for host, answer in results.items() if host in shares}
    errors = {host: answer for host, answer in results.items() if host not in shares}
    seen = status(network, folder, known, {**answers, **errors})
    return Sample(time.time(), took, seen, tuple(meter for share in shares.values() for meter in share.meters))


def _unknown(folder: Path, name: str, host: str, reason: str) -> NodeStatus:
    layers = tuple(
        LayerStatus(service.layer, service.replica, "unknown", None, None, 0, None, "", "")
        for service in nodes.read(folder, name).services
    )
    return NodeStatus(name, "unknown", None, 0, layers, host=host, reason=reason)


def _troubles(known: Record, results: Mapping[str, Any], step: str) -> Iterator[Trouble]:
    for name, seat in known.seats.items():
        if isinstance(error := results.get(seat.host), QkdbusError):
            yield Trouble(name, seat.host, step, str(error))
