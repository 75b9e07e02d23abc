"""`qkdbus stop`."""

from __future__ import annotations

from pathlib import Path

import click

from . import say


@click.command()
@click.argument("network", required=False)
@click.argument("node", required=False)
@click.argument("layer", required=False)
@click.pass_obj
def command(home: Path, network: str | None, node: str | None, layer: str | None) -> None:
    """Stop a network, a node, or one layer of a node. Files and keys stay; `start` goes on with them.

    A layer stays stopped until it is started again, or its node is.

    \b
      qkdbus stop three-sites
      qkdbus stop three-sites Alice keysync
    """
    from .. import nodes
    from ..drivers.choose import driver

    name = nodes.choose(home, network)
    driver(home, name, say.progress).stop(name, node, layer)
    say.answer(" ".join(filter(None, (name, node, layer))) + ": stopped")
