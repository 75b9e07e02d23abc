"""TCP ports: how many each node needs, and who gets which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import Refused
from .base import Model
from .model import Network

FIRST_PORT = 20_000  # below the ephemeral range of Linux (32768 on), so no outgoing connection sits on one
LAST_PORT = 32_767


class Ports(Model):
    """TCP ports of one node: applications, and the same layer of its neighbours."""

    north: int  # applications -> keymanager
    keymanager: int
    keysync: int
    qbackend: tuple[int, ...]  # one per replica
    emulator: int = 0  # SimulaQron of neighbours on other hosts; 0: written before there was one, and not kept


def allocate(
    network: Network,
    free: Iterable[int] = range(FIRST_PORT, LAST_PORT + 1),
    kept: Mapping[str, Ports] | None = None,
    names: Iterable[str] | None = None,
) -> dict[str, Ports]:
    """Give every node (or these) its ports out of `free`, in the order of the file.

    No two of them share a port. A node keeps those it has in `kept` when they are as many as it needs. Raises
    Refused when `free` runs out.
    """
    kept = {name: ports for name, ports in (kept or {}).items() if _fits(network, name, ports)}
    taken = {port for ports in kept.values() for port in numbers(ports)}
    supply = (port for port in free if port not in taken)
    try:
        return {name: kept.get(name) or _next(supply, replicas(network, name)) for name in names or network.names}
    except StopIteration:
        raise Refused("not enough free ports for this network") from None


def replicas(network: Network, node: str) -> int:
    """Return how many qbackend workers a node has."""
    return network.choice(node, "qbackend").replicas


def numbers(ports: Ports) -> tuple[int, ...]:
    """Return every port of a node."""
    return (ports.north, ports.keymanager, ports.keysync, *ports.qbackend, ports.emulator)


def _next(supply: Iterable[int], workers: int) -> Ports:
    north, keymanager, keysync, *qbackend, emulator = [next(iter(supply)) for _ in range(4 + workers)]
    return Ports(north=north, keymanager=keymanager, keysync=keysync, qbackend=tuple(qbackend), emulator=emulator)


def _fits(network: Network, name: str, ports: Ports) -> bool:
    return name in network.names and len(ports.qbackend) == replicas(network, name) and ports.emulator != 0
