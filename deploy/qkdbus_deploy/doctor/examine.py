"""All checks, in the order in which a fault of one explains those of the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qkdbus.errors import BadFile
from qkdbus.network.model import Network

from .. import nodes, preview
from ..bundles import Bundle, Plan
from ..drivers.choose import driver
from ..fleet import record
from ..fleet.hands import Hands
from ..fleet.options import Options
from ..fleet.preview import Foreseen, foresee
from ..fleet.record import Record
from ..fleet.tiers import tier
from . import here, hosts, left, running
from .finding import Finding, guarded

ALONE = 3  # nodes to have room for, when no network is named


@dataclass(frozen=True)
class Question:
    """What is to be looked at.

    Attributes:
        home: the folder of all networks.
        network: the name of one that is deployed, or will be; "" for this machine, and all that is deployed.
        file: what its network file says, when one was named.
        inventory: the hosts to look at; for a network that is on hosts already, those.
    """

    home: Path
    network: str = ""
    file: Network | None = None
    inventory: Path | None = None
    options: Options = field(default_factory=Options)


def examine(question: Question) -> Iterator[Finding]:
    """Yield what the checks find, as they are made."""
    home, name = question.home, question.network
    known = _record(home / name) if name else None
    deployed = bool(name) and bool(nodes.names(home / name))
    elsewhere = known is not None or question.inventory is not None
    names = question.file.names if question.file is not None else tuple(nodes.names(home / name)) if deployed else ()
    yield from guarded("python", "", here.python)
    yield from guarded("libraries", "", here.libraries)
    if names and not elsewhere:
        yield from guarded("emulators", "", lambda: here.emulators(_emulators(question)))
    yield from guarded("home", "", lambda: here.home(home))
    yield from guarded("sockets", "", lambda: here.sockets(home, name, names))
    yield from guarded("limits", "", lambda: here.limits(1 if elsewhere else len(names) or ALONE))
    yield from guarded("clock", "", here.clock)
    yield from guarded("left over", "", lambda: left.folders(home))
    if elsewhere:
        yield from guarded("ansible", "", here.ways)
        yield from guarded("hosts", "", lambda: _hosts(question, known, deployed))
    for network in [name] if deployed else [] if name else nodes.networks(home):
        yield from _deployed(question, network)


def _deployed(question: Question, name: str) -> Iterator[Finding]:
    folder = question.home / name
    if _record(folder) is None:
        yield from guarded("warm parent", name, lambda: running.parent(folder))
        yield from guarded("left over", name, lambda: left.sockets(folder))
        yield from guarded("ports", name, lambda: running.taken_ports(folder))

    def look() -> Iterator[Finding]:
        status = driver(question.home, name, options=question.options).status(name)
        yield from running.services(status)
        yield from running.links(status)
        yield from running.drifted(folder, status)

    yield from guarded("nodes", name, look)


def _record(folder: Path) -> Record | None:
    try:
        return record.read(folder)
    except BadFile:
        return None  # what else is there is looked at all the same; the status says it


def _as_deployed(folder: Path, known: Record) -> Foreseen:
    """Return what was deployed as if it were a plan: settings alone matter to those who look at hosts."""
    bundles = tuple(Bundle(nodes.read(folder, name).settings, (), ()) for name in known.seats)
    seats = {name: seat.host for name, seat in known.seats.items()}
    return Foreseen(Plan(folder.name, folder, bundles, ()), seats, {})


def _emulators(question: Question) -> frozenset[str]:
    """Return the emulators that a network has on this machine."""
    if question.file is not None:
        return tier(preview.here(question.home, question.file).bundles)
    folder = question.home / question.network
    return frozenset[str]().union(*(nodes.emulators(folder / name) for name in nodes.names(folder)))


def _hosts(question: Question, known: Record | None, deployed: bool) -> Iterator[Finding]:
    before = known or Record("")
    inventory = question.inventory or Path(before.inventory)
    with Hands(inventory, None, question.options) as hands:
        variables = {name: host.variables for name, host in hands.hosts.items()}
        if question.file is not None:
            foreseen = foresee(question.home, question.file, before, variables)
        else:
            foreseen = _as_deployed(question.home / question.network, before)
            if missing := sorted(set(foreseen.seats.values()) - set(variables)):
                yield Finding("host", "", "error", f"{', '.join(missing)}: not in {inventory}", "put it back")
        yield from hosts.examine(hosts.Asked(hands, foreseen, before, deployed and known is not None))
