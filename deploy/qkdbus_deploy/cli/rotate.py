"""`qkdbus rotate`: new keys for nodes, while they run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from . import say
from .targets import ansible_options, way_in


@click.command()
@click.argument("nodes", nargs=-1, metavar="[NODE]...")
@click.option("--network", metavar="NETWORK", help="Which network, when there are several.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds for which neighbours let the former key in.",
)
@click.option("--north", is_flag=True, help="Another key for applications, too: they need their new credentials.")
@ansible_options
@say.json_option
@click.pass_obj
def command(
    home: Path,
    /,
    nodes: tuple[str, ...],
    network: str | None,
    grace: float,
    north: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Give nodes new keys while they run; all nodes when none is named.

    A node gets a new key pair, and each of its links a new secret. Neighbours let the former key in for a while, so
    that no stream closes and keys go on coming. By the key of its door for applications a node is known outside:
    that one stays, unless you say --north. Then credentials on this machine are rewritten (programs that run follow
    by themselves), and those that were carried elsewhere have to be carried there again.

    \b
      qkdbus rotate Alice              one node
      qkdbus rotate --grace 0          all, and the former keys are good for nothing at once
    """
    from .. import nodes as deployed
    from .. import rekeying
    from ..drivers.choose import driver

    name = deployed.choose_by_node(home, nodes[0], network) if nodes else deployed.choose(home, network)
    folder = home / name
    asked = nodes or tuple(deployed.names(folder))
    for node in asked:
        deployed.read(folder, node)  # Refused when there is no such node
    until = time.time() + rekeying.BETWEEN_WAVES + grace
    target = driver(home, name, say.progress, options=way_in(options))
    change = target.rekey(name, lambda where: rekeying.rotate(where, asked, until, north=north))
    rewritten = sorted(path for path in change.here)
    if as_json:
        say.data({"network": name, "nodes": list(change.nodes), "grace": grace, "rewritten": rewritten})
        return
    said = ", ".join(change.nodes)
    former = f"neighbours let the former in for {grace:g} s more" if grace else "the former are good no more"
    say.answer(f"{said}: new keys; {former}")
    if rewritten:
        say.answer(f"rewritten in {folder}: {', '.join(rewritten)}; carry those anew to where applications have them")
