"""What any target of a deployment can do; the same verbs whether nodes are processes here or machines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from qkdbus.network.model import Network

from ..logbook import Line
from ..status import NetworkStatus


@dataclass(frozen=True)
class Unready:
    """A service that did not become ready: where, why, and the end of its log."""

    node: str
    layer: str
    program: str
    reason: str
    log: tuple[str, ...]


@dataclass(frozen=True)
class Deployed:
    """What a deploy or a start came to.

    Attributes:
        changed: the nodes that were started or started again.
        removed: the nodes that an earlier deploy had and this one has not.
        services: how many services were asked whether they are ready.
        seconds: from the call to the end.
        unready: nothing, if all is well.
    """

    network: str
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    services: int
    seconds: float
    unready: tuple[Unready, ...] = ()


class Driver(Protocol):
    """One target. `node` and `layer` narrow a verb down; None means all. Failures are qkdbus.errors."""

    def deploy(self, network: Network, patience: float) -> Deployed:
        """Place what differs, start what does not run as placed, wait at most `patience` s until all is ready."""

    def start(self, network: str, node: str | None, layer: str | None, patience: float) -> Deployed:
        """Start what was placed, and wait until it is ready."""

    def stop(self, network: str, node: str | None, layer: str | None) -> None:
        """Stop processes; files and keys stay."""

    def destroy(self, network: str, node: str | None) -> None:
        """Stop, wipe keys, and leave no process, socket or file behind."""

    def status(self, network: str) -> NetworkStatus:
        """Say what runs and how it does."""

    def logs(self, network: str, node: str, layer: str | None, count: int, level: str) -> list[Line]:
        """Return the last lines of one layer of a node, or of all, in time order."""

    def follow(self, network: str, node: str, layer: str | None, level: str) -> Iterator[Line]:
        """Yield lines as they come."""

    def networks(self) -> Sequence[str]:
        """Return the names of the networks there."""
