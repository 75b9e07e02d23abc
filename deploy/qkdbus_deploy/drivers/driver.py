"""What any target of a deployment can do; the same verbs whether nodes are processes here or machines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from qkdbus.network.model import Network
from qkdbus.network.photonic import Eavesdropper

from ..attack import Channel
from ..logbook import Line, Wanted
from ..outcome import Deployed
from ..rekeying import Rekeying
from ..status import NetworkStatus
from ..watching.sample import Sample


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

    def samples(self, network: str) -> Iterator[Sample]:
        """Yield samples of what all services say and use, each taken when it is asked for."""

    def logs(self, network: str, wanted: Wanted) -> list[Line]:
        """Return the last lines, or kept events, in time order."""

    def follow(self, network: str, wanted: Wanted) -> Iterator[Line]:
        """Yield lines, or events, as they come. Some events may come twice (`watching.eventbook.once`)."""

    def swap(self, network: str, node: str, layer: str, command: Sequence[str] | None, patience: float) -> Deployed:
        """Run another program as a layer of a node, or (None) its own again; the rest of the node keeps running."""

    def attack(self, network: str, one: str, other: str, eve: Eavesdropper | None) -> Channel:
        """Put an eavesdropper into the channel between two nodes; None asks who is there."""

    def admitted(self, network: str, node: str) -> None:
        """Let a node know that its files of applications have changed on this machine."""

    def rekey(self, network: str, make: Callable[[Path], Rekeying]) -> Rekeying:
        """Bring files with keys to nodes that run, wave by wave; `make` is given the network's folder, locked."""
