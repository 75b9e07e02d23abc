"""`qkdbus expel`: shut a node out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import say
from .targets import ansible_options, way_in


@click.command()
@click.argument("node")
@click.option("--why", default="shut out by the operator", show_default=True, help="What streams with it will say.")
@click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")
@ansible_options
@click.pass_obj
def command(home: Path, /, node: str, why: str, network: str | None, **options: Any) -> None:
    """Have a node that was captured let in by no neighbour any more.

    Its neighbours end the connections that stand, talk to it no more, and give out no key that they share with it:
    streams with it say why. Nothing is sent to the node itself. `qkdbus readmit NODE` lets it in again; if its keys
    may be known to somebody, `qkdbus rotate NODE` first.

    \b
      qkdbus expel Bob --why "stolen from the rack on Monday"
    """
    from .. import nodes, rekeying
    from ..drivers.choose import driver

    name = nodes.choose_by_node(home, node, network)
    nodes.read(home / name, node)
    target = driver(home, name, say.progress, options=way_in(options))
    change = target.rekey(name, lambda folder: rekeying.shut_out(folder, node, why))
    around = ", ".join(sorted(change.waves[0])) or "nobody"
    say.answer(f"{node} is shut out: {around} will not let it in (`qkdbus readmit {node}` ends that)")
