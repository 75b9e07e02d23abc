"""What there is on a host: what it is like, and which nodes of a network are there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qkdbus.network.addresses import Ports, numbers

from . import facts, seating, there
from .facts import Facts
from .host import Host
from .record import Record

ANSWERED_WITHIN = 30.0  # s
CLOCKS_APART = 1.0  # s: more is worth a word


@dataclass(frozen=True)
class Looked:
    """What was found on a host: what it is like, and which nodes of the network are there (`there.read`)."""

    facts: Facts
    there: Mapping[str, str]


def look(host: Host, network: str) -> Looked:
    """Look at a host. Raises what facts.probe raises."""
    seen = facts.probe(host)
    folder = Path(seen.home) / str(host.variables.get("qkdbus_home") or seating.HOME) / network
    return Looked(seen, there.read(host.run(there.command(folder), patience=ANSWERED_WITHIN).out))


def clock_apart(seen: Facts) -> str:
    """Say how far a host's clock is surely off ours, when that is too far; "" when it is not."""
    surely = abs(seen.clock_offset) - seen.round_trip / 2
    return f"its clock is {seen.clock_offset:+.1f} s off this machine's" if surely > CLOCKS_APART else ""


def kept(
    before: Mapping[str, Ports], known: Record, seats: Mapping[str, str], looked: Mapping[str, Looked]
) -> dict[str, Ports]:
    """Return which of their ports nodes keep: they stay on their host, and nobody else has taken them meanwhile.

    `before`: node -> ports at the last deploy; `seats`: node -> host now; `looked`: host -> what was found there.
    """
    stay = {}
    for node, ports in before.items():
        seat, found = known.seats.get(node), looked.get(seats[node])
        moved = seat is None or seat.host != seats[node]
        lost = found and not found.there.get(node) and set(numbers(ports)) & set(found.facts.listening)
        if not moved and not lost:
            stay[node] = ports
    return stay
