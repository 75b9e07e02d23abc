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
class Place:
    """One machine, as a place for nodes.

    Attributes:
        home: the folder of all networks there.
        run_root: where sockets live when `home` is too long a path for them.
        python: the interpreter that runs the built-in layers.
        host: the address by which neighbours and applications reach its nodes.
        bind: the address that their sockets bind, where that is another one.
    """

    home: Path
    run_root: Path
    python: str
    host: str = LOCAL_HOST
    bind: str = ""


@dataclass(frozen=True)
class Target:
    """Where bundles are going.

    Attributes:
        here: the place of each node of which `places` says nothing.
        places: node -> its place.
        packages: entry point of `qkdbus.layers` -> its package.
    """

    here: Place
    places: Mapping[str, Place] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)

    def place(self, node: str) -> Place:
        """Return where a node goes."""
        return self.places.get(node, self.here)


def plan(network: Network, ports: Mapping[str, Ports], certs: Certs, target: Target) -> Plan:
    """Return what each node of a network gets.

    Raises Refused when a path of the target cannot be used for sockets or in supervisord's file.
    """
    settings = all_settings(network, ports, certs, target)
    return Plan(
        network.name,
        network_directory(target.here.home, network.name),
        tuple(_bundle(one, certs, target) for one in settings),
        (client_file(network.name, settings, certs),),
    )


def all_settings(network: Network, ports: Mapping[str, Ports], certs: Certs, target: Target) -> list[NodeSettings]:
    """Return what the services of each node will read: all of a plan that the network file decides."""
    links = routes(network)
    sites = _Sites(network, ports, certs, target)
    return [_settings(sites, name, links) for name in network.names]


@dataclass(frozen=True)
class _Sites:
    """What is known of every node."""

    network: Network
    ports: Mapping[str, Ports]
    certs: Certs
    target: Target

    def place(self, name: str) -> Place:
        return self.target.place(name)

    def directory(self, name: str) -> Path:
        return node_directory(self.place(name).home, self.network.name, name)

    def run(self, name: str) -> Path:
        return run_directory(self.directory(name), self.place(name).run_root)

    def together(self, route: Route) -> bool:
        """Whether both ends of a link are on one machine."""
        one, other = self.place(route.arbiter), self.place(route.follower)
        return (one.host, one.home) == (other.host, other.home)

    def neighbour(self, name: str, route: Route) -> Neighbour:
        """Return what the node at the other end of a link needs to know of `name`."""
        socket = str(self.run(name) / EMULATOR_SOCKET) if _emulated(route) and self.together(route) else ""
        return Neighbour(
            name=name,
            host=self.place(name).host,
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
        host=sites.place(name).host,
        bind=sites.place(name).bind,
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
    found = tuple(programs(choices, emulated, target.place(settings.name).python, settings.directory, target.packages))
    return Bundle(settings, found, node_files(settings, found, certs))


def _emulated(route: Route) -> bool:
    return route.settings.emulator == "simulaqron"
