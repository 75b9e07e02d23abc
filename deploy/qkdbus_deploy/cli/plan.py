"""`qkdbus plan`: what a deploy would change, and what each node would get, without touching anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qkdbus.errors import Refused

from . import difference, say, targets

if TYPE_CHECKING:
    from ..bundles import Bundle, Plan
    from ..change import Change
    from ..doors import Opening


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("inventory", type=click.Path(path_type=Path), required=False)
@click.option("--name", metavar="NETWORK", help="Call the network so, whatever its file says.")
@click.option("--files", "with_files", is_flag=True, help="Show the text of every file, too.")
@targets.ansible_options
@say.json_option
@click.pass_obj
def command(
    home: Path,
    /,
    file: Path,
    inventory: Path | None,
    name: str | None,
    with_files: bool,
    as_json: bool,
    **more: Any,
) -> None:
    """Show what a deploy would change, and what each node would get. Nothing is made, changed or connected to.

    Of a network that is deployed it says first what differs: nodes added, removed, moved to another host, changed
    (and in which settings), and what that means: restarted, made anew, or untouched. Then, of each node, programs,
    ports, links and files, with the host, address and Python that it has or will get; and which ports have to be open
    to whom, so that a firewall can be set.

    What is deployed already keeps its ports and keys, and is shown with them. For the rest, ports are examples
    (`deploy` takes free ones) and keys do not exist yet. Secrets are never shown.

    \b
      qkdbus plan three-sites.yaml
      qkdbus plan three-sites.yaml inventory.yaml
      qkdbus plan three-sites.yaml --json | jq .change
      qkdbus plan three-sites.yaml --json | jq '.nodes[] | {name, host, open}'
    """
    found = _foresee(home, file, name, inventory, more)
    if as_json:
        say.data(_data(found))
        return
    for notice in found.notices:
        say.notice(notice)
    if found.change is not None:
        difference.tell(found.change)
    plan = found.plan
    say.answer(f"{plan.network}: {say.count(len(plan.bundles), 'node')} below {plan.directory}")
    for bundle in plan.bundles:
        _tell(bundle, found)
    difference.tell_openings(plan, difference.openings(plan))
    say.answer("\nfor applications of this user")
    say.answer("  " + str(plan.directory / plan.files[0].path))
    if with_files:
        _tell_files(plan)


@dataclass(frozen=True)
class _Foreseen:
    """A plan; what it would change, None when nothing is deployed; and where nodes go that are not on this machine."""

    plan: Plan
    notices: tuple[str, ...]
    change: Change | None
    hosts: Mapping[str, str]
    pythons: Mapping[str, str]


def _foresee(home: Path, file: Path, name: str | None, inventory: Path | None, more: dict[str, Any]) -> _Foreseen:
    from .. import change, deployed, nodes, preview, source
    from ..fleet import record

    network = source.network(file, name)
    folder, options = home / network.name, targets.way_in(more)
    known = record.read(folder)
    if known is None and inventory is None:
        plan, hosts, pythons = preview.here(home, network), {}, {}
    else:
        if known is None and nodes.names(folder):
            raise Refused(f"{network.name} runs on this machine; destroy it first, or plan it with another --name")
        from ..fleet.hands import Hands
        from ..fleet.preview import foresee

        known = known or record.Record("")
        with Hands(inventory or Path(known.inventory), say.progress, options) as hands:
            variables = {host: found.variables for host, found in hands.hosts.items()}
        there = foresee(home, network, known, variables)
        plan, hosts, pythons = there.plan, dict(there.seats), dict(there.pythons)
    seats = {node: seat.host for node, seat in known.seats.items()} if known is not None else {}
    before = deployed.placed(folder, seats)
    return _Foreseen(plan, network.notices, change.compare(before, plan, hosts) if before else None, hosts, pythons)


def _data(found: _Foreseen) -> dict[str, Any]:
    plan, openings = found.plan, difference.openings(found.plan)
    return {
        "network": plan.network,
        "directory": str(plan.directory),
        "notices": list(found.notices),
        "change": found.change.plain() if found.change is not None else None,
        "nodes": [_node(bundle, found, openings[bundle.name]) for bundle in plan.bundles],
        "files": [{"path": file.path, "text": file.shown} for file in plan.files],
    }


def _node(bundle: Bundle, found: _Foreseen, openings: list[Opening]) -> dict[str, Any]:
    settings = bundle.settings
    return {
        "name": bundle.name,
        "directory": str(bundle.directory),
        "run": str(bundle.run),
        "machine": found.hosts.get(bundle.name),
        "python": _python(bundle.name, found),
        "host": settings.host,
        "ports": settings.ports.model_dump(),
        "open": [asdict(one) for one in openings],
        "programs": [{"name": p.name, "layer": p.layer, "command": list(p.command)} for p in bundle.programs],
        "links": [{"neighbour": n.name, "arbiter": n.arbiter, **n.link.model_dump()} for n in settings.neighbours],
        "files": [{"path": file.path, "text": file.shown} for file in bundle.files],
    }


def _python(node: str, found: _Foreseen) -> str | None:
    """Return the interpreter of a node; None when it is a host's that `deploy` has still to look for."""
    return found.pythons.get(node) or None if found.hosts else sys.executable


def _tell(bundle: Bundle, found: _Foreseen) -> None:
    settings, ports = bundle.settings, bundle.settings.ports
    say.answer(f"\n{bundle.name}")
    if found.hosts:
        python = _python(bundle.name, found) or "python to be found there"
        say.answer(f"  host      {found.hosts[bundle.name]}, reached at {settings.host}, {python}")
    say.answer("  programs  " + ", ".join(program.name for program in bundle.programs))
    workers = ", ".join(map(str, ports.qbackend))
    say.answer(
        f"  ports     applications {ports.north}, keymanager {ports.keymanager}, keysync {ports.keysync}, "
        f"qbackend {workers}, emulator {ports.emulator} on {settings.host}"
    )
    for neighbour in settings.neighbours:
        role = "arbiter" if neighbour.arbiter else "follower"
        say.answer(f"  link      {neighbour.name}: {role}, {neighbour.link.protocol} over {neighbour.link.emulator}")
    say.answer("  files     " + ", ".join(file.path for file in bundle.files))
    if bundle.run.parent != bundle.directory:
        say.answer(f"  sockets   {bundle.run} (the path of its folder is too long for sockets)")


def _tell_files(found: Plan) -> None:
    named = [(bundle.directory / file.path, file) for bundle in found.bundles for file in bundle.files]
    named += [(found.directory / file.path, file) for file in found.files]
    for path, file in named:
        say.answer(f"\n==> {path} <==\n{file.shown.rstrip()}")
