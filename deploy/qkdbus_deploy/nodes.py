"""What is deployed on this machine: networks, their nodes, and the services of each, as their files say."""

from __future__ import annotations

import difflib
import re
from configparser import RawConfigParser
from dataclasses import dataclass
from pathlib import Path

from qkdbus.errors import BadFile, Refused
from qkdbus.network.model import LARGE
from qkdbus.runtime.settings import NodeSettings, load

from .bundles import Bundle

CONFIGURATION, SETTINGS = "supervisord.conf", "node.yaml"
_PHOTONIC = re.compile(r"^\s+emulator: photonic$", re.MULTILINE)
_BLOCKS = re.compile(r"^\s+block_bits: (\d+)$", re.MULTILINE)
_PROGRAM = re.compile(r"program:(?P<program>(?P<layer>[a-z]+)(?:_(?P<replica>\d+))?)$")


@dataclass(frozen=True, slots=True)
class Service:
    """One program of one node."""

    node: str
    layer: str
    replica: int
    program: str  # its name at supervisord, and of its log
    endpoint: str

    def __str__(self) -> str:
        return f"{self.node} {self.program}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as its files say.

    `directory` is the folder that was read: the node's own, or on the machine that deployed it elsewhere, a copy.
    """

    directory: Path
    settings: NodeSettings
    services: tuple[Service, ...]

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    def of(self, layer: str | None) -> list[Service]:
        """Return its services, or those of one layer (or one program). Refused when there is no such layer."""
        found = [s for s in self.services if layer in (None, s.layer, s.program)]
        if not found:
            raise Refused(unknown("layer", layer or "", [s.program for s in self.services], self.settings.name))
        return found


def networks(home: Path) -> list[str]:
    """Return the names of the networks that were placed here."""
    return sorted({file.parent.parent.name for file in home.glob("*/*/node.yaml")})


def choose(home: Path, name: str | None) -> str:
    """Return `name` if there is such a network, or the only one when it is None. Refused otherwise."""
    known = networks(home)
    if name is not None and name in known:
        return name
    if name is not None:
        raise Refused(unknown("network", name, known, str(home)))
    if len(known) == 1:
        return known[0]
    raise Refused(f"which network? {', '.join(known)} are in {home}" if known else f"no network in {home}")


def choose_by_node(home: Path, node: str, network: str | None) -> str:
    """Return the one network that has this node. Refused when none has, or more than one."""
    if network is not None:
        return choose(home, network)
    having = [name for name in networks(home) if (home / name / node / "node.yaml").is_file()]
    if len(having) > 1:
        raise Refused(f"which network? {', '.join(having)} all have a node {node} (use --network)")
    return having[0] if having else choose(home, None)


def names(network: Path) -> list[str]:
    """Return the names of a network's nodes."""
    return sorted(file.parent.name for file in network.glob("*/node.yaml"))


def read(network: Path, name: str) -> Node:
    """Return one node. Refused when it is unknown, BadFile when its files are damaged."""
    if name not in names(network):
        raise Refused(unknown("node", name, names(network), network.name))
    settings = load(network / name)
    return Node(network / name, settings, tuple(_services(network / name, settings)))


def read_all(network: Path) -> list[Node]:
    """Return all nodes of a network."""
    return [read(network, name) for name in names(network)]


def links(network: Path) -> list[tuple[str, str]]:
    """Return the links of a network, each with its source first."""
    found = [(node.name, peer.name) for node in read_all(network) for peer in node.settings.neighbours if peer.arbiter]
    return sorted(found)


def placed(bundle: Bundle) -> Node:
    """Return the node that a bundle makes."""
    services = (_service(bundle.settings, program.name, program.layer, program.replica) for program in bundle.programs)
    return Node(bundle.directory, bundle.settings, tuple(services))


def emulators(node: Path) -> frozenset[str]:
    """Return which emulators a node (its folder) uses that take long to import: "simulaqron", "photonic".

    Long blocks ask for the kernels of the latter on any link (`LinkSettings.large`). Files are searched, not parsed:
    that would take longer than the whole of a start.
    """
    found = set()
    if "\n[program:emulator]\n" in (node / CONFIGURATION).read_text():
        found.add("simulaqron")
    settings = (node / SETTINGS).read_text()
    if _PHOTONIC.search(settings) or any(int(bits) >= LARGE for bits in _BLOCKS.findall(settings)):
        found.add("photonic")
    return frozenset(found)


def unknown(kind: str, name: str, known: list[str], where: str) -> str:
    """Say that there is no such thing, and what there is."""
    near = difflib.get_close_matches(name, known, 1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"there {'is' if len(known) == 1 else 'are'} {', '.join(known) or 'none'}"
    )
    return f"no {kind} {name!r} in {where}: {hint}"


def _services(directory: Path, settings: NodeSettings) -> list[Service]:
    file = directory / CONFIGURATION
    parser = RawConfigParser()
    if not parser.read(file):
        raise BadFile(f"{file}: not there; `qkdbus deploy` writes it")
    matches = [found for section in parser.sections() if (found := _PROGRAM.match(section))]
    return [_service(settings, m["program"], m["layer"], int(m["replica"] or 0)) for m in matches]


def _service(settings: NodeSettings, program: str, layer: str, replica: int) -> Service:
    socket = f"{layer}.{replica}" if layer == "qbackend" else layer
    return Service(settings.name, layer, replica, program, settings.ipc(socket))
