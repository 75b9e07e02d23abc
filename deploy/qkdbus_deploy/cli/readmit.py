"""`qkdbus readmit`: let a node in again that was shut out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import say
from .targets import ansible_options, way_in


@click.command()
@click.argument("node")
@click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")
@ansible_options
@click.pass_obj
def command(home: Path, /, node: str, network: str | None, **options: Any) -> None:
    """Have a node let in again by its neighbours, after `qkdbus expel`; its streams go on."""
    from .. import nodes, rekeying
    from ..drivers.choose import driver

    name = nodes.choose_by_node(home, node, network)
    nodes.read(home / name, node)
    target = driver(home, name, say.progress, options=way_in(options))
    change = target.rekey(name, lambda folder: rekeying.readmit(folder, node))
    say.answer(f"{node} is let in again by {', '.join(sorted(change.waves[0]))}")
