"""Checks of the hosts of an inventory: can they be reached, can they run nodes, do they reach each other?"""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkdbus.errors import Failed, QkdbusError
from qkdbus.network.addresses import numbers

from .. import doors
from ..fleet.agents import Agent
from ..fleet.facts import Facts
from ..fleet.hands import Hands
from ..fleet.host import Host
from ..fleet.looking import Looked, clock_apart, look
from ..fleet.preview import Foreseen
from ..fleet.record import Record, Seat
from ..knocking import Door
from .finding import Finding, guarded, well
from .here import DISK_NEEDED, DISK_WANTED, OF_NETWORK, OF_NODE

REACHED_WITHIN = 5.0  # s for a door to open
ASKED_WITHIN = 60.0  # s for a host to answer
# Prints, as JSON, name -> addresses, for the names on its command line.
RESOLVE = """
import json, socket, sys
def of(name):
    try:
        return sorted({one[4][0] for one in socket.getaddrinfo(name, None)})
    except OSError:
        return []
print(json.dumps({name: of(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Asked:
    """A network on hosts, as it is to be looked at.

    Attributes:
        deployed: whether it is there already, as `known` says; else it is only planned.
    """

    hands: Hands
    foreseen: Foreseen
    known: Record
    deployed: bool

    def nodes(self, host: str) -> list[str]:
        """Return the nodes of a host."""
        return [node for node, where in self.foreseen.seats.items() if where == host]


def examine(asked: Asked) -> Iterator[Finding]:
    """Look at all hosts at once, then at what each needs of the others."""
    used = [host for name, host in asked.hands.hosts.items() if asked.nodes(name)]
    looked = asked.hands.each(used, lambda host: look(host, asked.foreseen.plan.network))
    seen = {}
    for name, result in looked.items():
        if isinstance(result, QkdbusError):
            yield Finding("host", name, "error", _without(name, str(result)))
        else:
            seen[name] = result
            yield from _of_host(asked, name, result)
    addresses = {
        asked.foreseen.plan.bundle(node).settings.host: seen[host].facts.addresses
        for node, host in asked.foreseen.seats.items()
        if host in seen
    }
    able = [asked.hands.hosts[name] for name in seen]
    yield from _together(asked, able, lambda host: _names(asked, host, seen[host.name], addresses))
    if asked.deployed:
        up = {node for one in seen.values() for node, runs in one.there.items() if runs}
        yield from _together(asked, able, lambda host: _reached(asked, host, up))


def _together(asked: Asked, hosts: list[Host], check: Callable[[Host], Iterator[Finding]]) -> Iterator[Finding]:
    results = asked.hands.each(hosts, lambda host: list(guarded("host", host.name, lambda: check(host))))
    for found in results.values():
        if not isinstance(found, QkdbusError):
            yield from found


def _of_host(asked: Asked, name: str, seen: Looked) -> Iterator[Finding]:
    one, nodes = seen.facts, len(asked.nodes(name))
    yield well("host", f"reached as {one.user}, Python {one.python_version} at {one.python}, {one.libc}", name)
    yield _of_space(name, one)
    wanted = nodes * OF_NODE + OF_NETWORK
    if one.free_memory and one.free_memory < wanted:
        text = f"{one.free_memory / 1024**2:.0f} MB of memory free, {nodes} nodes want about {wanted / 1024**2:.0f} MB"
        yield Finding("memory", name, "warning", text, "stop something there")
    if text := clock_apart(one):
        yield Finding("clock", name, "warning", text, "run chrony or systemd-timesyncd there (and here)")
    else:
        yield well("clock", "agrees with this machine's", name)
    yield from _ports(asked, name, seen)


def _of_space(name: str, one: Facts) -> Finding:
    text = f"{one.free_disk / 1024**3:.1f} GB free for {one.user}"
    if one.free_disk < DISK_NEEDED:
        return Finding("disk", name, "error", text, "make room there, or set qkdbus_home in the inventory")
    if one.free_disk < DISK_WANTED:
        return Finding("disk", name, "warning", text, "logs and states may fill it: make room there")
    return well("disk", text, name)


def _ports(asked: Asked, name: str, seen: Looked) -> Iterator[Finding]:
    """Tell ports of nodes that do not run, and that somebody else listens on."""
    taken = False
    for node in asked.nodes(name) if asked.deployed else ():
        mine = set(numbers(asked.foreseen.plan.bundle(node).settings.ports))
        if not seen.there.get(node) and (others := sorted(mine & set(seen.facts.listening))):
            taken = True
            text = f"{node} does not run, and another program has its TCP port {', '.join(map(str, others))}"
            yield Finding("ports", name, "error", text, "end it, or deploy again: other ports are taken then")
    if asked.deployed and not taken:
        yield well("ports", "free, or its nodes'", name)


def _names(asked: Asked, host: Host, seen: Looked, addresses: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    """See whether the names by which neighbours are reached lead to them."""
    peers = {
        peer.host: peer.name
        for node in asked.nodes(host.name)
        for peer in asked.foreseen.plan.bundle(node).settings.neighbours
        if not _is_address(peer.host)
    }
    if not peers:
        return
    command = f"{shlex.quote(seen.facts.python)} -I -S -c {shlex.quote(RESOLVE)} {' '.join(map(shlex.quote, peers))}"
    ran = host.run(command, patience=ASKED_WITHIN)
    try:
        found: dict[str, list[str]] = json.loads(ran.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise Failed(f"{host.name}: cannot look up names: {(ran.err or ran.out).strip()[-300:]}") from None
    for name, node in peers.items():
        mend = f"give {node} its IP address (node_ip, or qkdbus_address in the inventory), or name it in /etc/hosts"
        known = addresses.get(name)
        if not found.get(name):
            yield Finding("names", host.name, "error", f"{name}, where {node} is, is not known there", mend)
        elif known and not set(found[name]) & set(known) and not all(map(_is_loopback, found[name])):
            text = f"{name} is {', '.join(found[name])} there, but {node} is at {', '.join(known)}"
            yield Finding("names", host.name, "warning", text, mend)
        else:
            yield well("names", f"{name} is known", host.name)


def _reached(asked: Asked, host: Host, up: set[str]) -> Iterator[Finding]:
    """See whether the software is there, and every door of its neighbours opens to it."""
    seats = [seat for node, seat in asked.known.seats.items() if seat.host == host.name and seat.software]
    if not seats:
        text = "nothing was deployed there yet"
        yield Finding("software", host.name, "error", text, "deploy again")
        return
    mine = [node for node in asked.nodes(host.name) if node in asked.known.seats]
    needed = [door for node in mine for door in doors.needed(asked.foreseen.plan.bundle(node).settings, up)]
    shut = _ask(host, seats[0], asked.foreseen.plan.directory, needed)
    yield well("software", "qkdbus is there", host.name)
    for what, address, port, reason in shut:
        text = f"does not reach {what} at {address}:{port}/tcp: {reason}"
        yield Finding("doors", host.name, "error", text, f"open that port there to {host.name}")
    if needed and not shut:
        yield well("doors", f"{len(needed)} of its neighbours' open to it", host.name)


def _ask(host: Host, seat: Seat, network: Path, needed: list[Door]) -> list[Any]:
    agent = Agent(host, seat.home, seat.python, seat.software)
    request = {"op": "look", "network": network.name, "doors": needed, "services": {}, "patience": REACHED_WITHIN}
    shut: list[Any] = agent.ask(request, ASKED_WITHIN)["shut"]
    return shut


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _without(name: str, text: str) -> str:
    return text.removeprefix(f"{name}: ")
