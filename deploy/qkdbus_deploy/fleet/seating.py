"""Which node goes to which host, at which address and ports. Pure: what is known comes in."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from qkdbus.errors import Refused
from qkdbus.network.addresses import FIRST_PORT, LAST_PORT, Ports, allocate
from qkdbus.network.model import Network

from ..plan import Place
from .facts import Facts

HOME = ".qkdbus/.nodes"  # below the user's home on a host; a dot, for no network of the controller's is called so
GUESSED = Place(Path("/root") / HOME, Path("/run/qkdbus"), "/usr/bin/python3")  # of a host that was never reached
ANYWHERE = "0.0.0.0"

Variables = Mapping[str, Any]  # of a host, as Ansible has them


def match(network: Network, hosts: Mapping[str, Variables]) -> dict[str, str]:
    """Return node -> host: the host of that name, else the one at the node's `node_ip`.

    Refused when a node has no host, or more than one.
    """
    found: dict[str, str] = {}
    homeless: list[str] = []
    for node in network.nodes:
        at = [name for name, variables in hosts.items() if node.node_ip and node.node_ip in _addresses(name, variables)]
        if node.node_name in hosts:
            found[node.node_name] = node.node_name
        elif len(at) == 1:
            found[node.node_name] = at[0]
        elif at:
            raise Refused(
                f"{node.node_name}: {' and '.join(sorted(at))} are both at {node.node_ip} in the inventory; "
                f"call one of them {node.node_name}"
            )
        else:
            homeless.append(f"{node.node_name} ({node.node_ip})" if node.node_ip else node.node_name)
    if homeless:
        raise Refused(
            f"no host in the inventory for {', '.join(homeless)}: name a host like the node, or give the node the "
            f"`node_ip` of one (it has {', '.join(sorted(hosts)) or 'none'})"
        )
    return found


def place(node_ip: str, name: str, variables: Variables, facts: Facts) -> Place:
    """Return the place that a host is for a node.

    Its address is `qkdbus_address` of the inventory, else the node's `node_ip`, else `ansible_host`, else its name.
    Sockets bind it when the host has it as its own, and else (behind NAT, or a name) any.
    """
    home = str(variables.get("qkdbus_home") or HOME)
    address = str(variables.get("qkdbus_address") or node_ip or _reached_at(name, variables, facts))
    bind = "" if address in facts.addresses or _is_loopback(address) else ANYWHERE
    return Place(Path(facts.home) / home, Path(facts.run_root), facts.python, address, bind)


def allot(
    network: Network, at: Mapping[str, str], kept: Mapping[str, Ports], taken: Mapping[str, Collection[int]]
) -> dict[str, Ports]:
    """Give every node ports: at each address from the first on, those that are free there.

    `at`: node -> address; `kept`: ports that nodes keep; `taken`: address -> ports that somebody listens on.
    """
    given: dict[str, Ports] = {}
    for address in dict.fromkeys(at.values()):
        names = [name for name in network.names if at[name] == address]
        free = (port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in taken.get(address, ()))
        given |= allocate(network, free, {name: kept[name] for name in names if name in kept}, names)
    return given


def _reached_at(name: str, variables: Variables, facts: Facts) -> str:
    if said := variables.get("ansible_host"):
        return str(said)
    if variables.get("ansible_connection") != "local":
        return name
    return next((address for address in facts.addresses if not _is_loopback(address)), "127.0.0.1")


def _addresses(name: str, variables: Variables) -> set[str]:
    return {name, *(str(variables[key]) for key in ("ansible_host", "qkdbus_address") if variables.get(key))}


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
