"""The plan: a network file in, one bundle per node out. Pure: no disk, no clock, no chance, no sockets.

The same network, ports, keys and target give the same plan, octet by octet; so a plan can be shown, compared with
what runs, and tested without a machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from qkdbus.network.addresses import Ports
from qkdbus.network.model import LAYERS, Network
from qkdbus.network.routes import Route, routes
from qkdbus.runtime.settings import Neighbour, NodeSettings

from .bundles import Bundle, Plan
from .certs import Certs
from .paths import EMULATOR_SOCKET, network_directory, node_directory, run_directory
from .programs import programs
from .render import client_file, node_files

LOCAL_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Target:
    """Where bundles are going.

    Attributes:
        home: the folder of all networks there.
        run_root: where sockets live when `home` is too long a path for them.
        python: the interpreter that runs the built-in layers.
        hosts: node -> address that its TCP sockets bind and its neighbours call; LOCAL_HOST where none is given.
        packages: entry point of `qkdbus.layers` -> its package.
    """

    home: Path
    run_root: Path
    python: str
    hosts: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)


def plan(network: Network, ports: Mapping[str, Ports], certs: Certs, target: Target) -> Plan:
    """Return what each node of a network gets.

    Raises Refused when a path of the target cannot be used for sockets or in supervisord's file.
    """
    links = routes(network)
    sites = _Sites(network, ports, certs, target)
    settings = [_settings(sites, name, links) for name in network.names]
    return Plan(
        network.name,
        network_directory(target.home, network.name),
        tuple(_bundle(one, certs, target) for one in settings),
        (client_file(network.name, settings, certs),),
    )


@dataclass(frozen=True)
class _Sites:
    """What is known of every node."""

    network: Network
    ports: Mapping[str, Ports]
    certs: Certs
    target: Target

    def host(self, name: str) -> str:
        return self.target.hosts.get(name, LOCAL_HOST)

    def directory(self, name: str) -> Path:
        return node_directory(self.target.home, self.network.name, name)

    def run(self, name: str) -> Path:
        return run_directory(self.directory(name), self.target.run_root)

    def neighbour(self, name: str, route: Route) -> Neighbour:
        """Return what the node at the other end of a link needs to know of `name`."""
        together = self.host(route.arbiter) == self.host(route.follower)
        socket = str(self.run(name) / EMULATOR_SOCKET) if _emulated(route) and together else ""
        return Neighbour(
            name=name,
            host=self.host(name),
            ports=self.ports[name],
            public_key=self.certs.nodes[name].public,
            arbiter=name != route.arbiter,
            link=route.settings,
            emulator_socket=socket,
        )


def _settings(sites: _Sites, name: str, links: tuple[Route, ...]) -> NodeSettings:
    network = sites.network
    # (the node at the other end, the link)
    ends = [(route.follower, route) for route in links if route.arbiter == name]
    ends += [(route.arbiter, route) for route in links if route.follower == name]
    return NodeSettings(
        network=network.name,
        name=name,
        host=sites.host(name),
        directory=sites.directory(name),
        run=sites.run(name),
        ports=sites.ports[name],
        nodes=network.names,
        neighbours=tuple(sites.neighbour(other, route) for other, route in sorted(ends, key=itemgetter(0))),
        buffers=network.buffers,
        security=network.security,
        layers={layer: network.choice(name, layer) for layer in LAYERS},
        durability=network.durability,
        log_level=network.log_level,
    )


def _bundle(settings: NodeSettings, certs: Certs, target: Target) -> Bundle:
    choices = {layer: settings.layers[layer] for layer in LAYERS}
    emulated = any(neighbour.link.emulator == "simulaqron" for neighbour in settings.neighbours)
    found = tuple(programs(choices, emulated, target.python, settings.directory, target.packages))
    return Bundle(settings, found, node_files(settings, found, certs))


def _emulated(route: Route) -> bool:
    return route.settings.emulator == "simulaqron"
