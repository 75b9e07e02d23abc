"""`qkdbus plan`: what each node would get, without touching anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say

if TYPE_CHECKING:
    from ..bundles import Bundle, Plan


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--files", "with_files", is_flag=True, help="Show the text of every file, too.")
@say.json_option
@click.pass_obj
def command(home: Path, file: Path, with_files: bool, as_json: bool) -> None:
    """Show what each node would get on this machine: programs, ports, links, files. Nothing is made or changed.

    What is deployed already keeps its ports and keys, and is shown with them. For the rest, ports are examples
    (`deploy` takes free ones) and keys do not exist yet. Secrets are never shown.

    \b
      qkdbus plan three-sites.yaml
      qkdbus plan three-sites.yaml --files
      qkdbus plan three-sites.yaml --json | jq '.nodes[].ports'
    """
    found, notices = _plan(file, home)
    if as_json:
        say.data(_data(found, notices))
        return
    for notice in notices:
        say.notice(notice)
    say.answer(f"{found.network}: {say.count(len(found.bundles), 'node')} below {found.directory}")
    for bundle in found.bundles:
        _tell(bundle)
    say.answer("\nfor applications of this user")
    say.answer("  " + str(found.directory / found.files[0].path))
    if with_files:
        _tell_files(found)


def _plan(file: Path, home: Path) -> tuple[Plan, tuple[str, ...]]:
    from qkdbus.network.addresses import allocate
    from qkdbus.network.load import load

    from .. import certs, deployed, paths, programs
    from ..plan import Target, plan

    network = load(file)
    directory = paths.network_directory(home, network.name)
    ports = allocate(network, kept=deployed.ports(network, directory))
    keys = certs.gather(network, directory, make=certs.preview)
    target = Target(home, paths.run_root(), sys.executable, packages=programs.installed(network))
    return plan(network, ports, keys, target), network.notices


def _data(found: Plan, notices: Iterable[str]) -> dict[str, Any]:
    return {
        "network": found.network,
        "directory": str(found.directory),
        "notices": list(notices),
        "nodes": [_node(bundle) for bundle in found.bundles],
        "files": [{"path": file.path, "text": file.shown} for file in found.files],
    }


def _node(bundle: Bundle) -> dict[str, Any]:
    settings = bundle.settings
    return {
        "name": bundle.name,
        "directory": str(bundle.directory),
        "run": str(bundle.run),
        "host": settings.host,
        "ports": settings.ports.model_dump(),
        "programs": [{"name": p.name, "layer": p.layer, "command": list(p.command)} for p in bundle.programs],
        "links": [{"neighbour": n.name, "arbiter": n.arbiter, **n.link.model_dump()} for n in settings.neighbours],
        "files": [{"path": file.path, "text": file.shown} for file in bundle.files],
    }


def _tell(bundle: Bundle) -> None:
    settings, ports = bundle.settings, bundle.settings.ports
    say.answer(f"\n{bundle.name}")
    say.answer("  programs  " + ", ".join(program.name for program in bundle.programs))
    workers = ", ".join(map(str, ports.qbackend))
    say.answer(
        f"  ports     applications {ports.north}, keymanager {ports.keymanager}, keysync {ports.keysync}, "
        f"qbackend {workers} on {settings.host}"
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
