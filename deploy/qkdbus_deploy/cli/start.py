"""`qkdbus start`."""

from __future__ import annotations

import click

from . import say
from .deploy import finish


@click.command()
@click.argument("network", required=False)
@click.argument("node", required=False)
@click.argument("layer", required=False)
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds to wait for readiness."
)
@say.json_option
@click.pass_context
def command(
    ctx: click.Context, network: str | None, node: str | None, layer: str | None, timeout: float, as_json: bool
) -> None:
    """Start a network, a node, or one layer of a node, and wait until it is ready.

    Also puts back the network's warm parent, should that have been killed (`qkdbus status` tells).

    \b
      qkdbus start three-sites
      qkdbus start three-sites Alice
      qkdbus start three-sites Alice keysync
    """
    from .. import nodes
    from ..drivers.choose import driver
    from ..launch import Launch

    name = nodes.choose(ctx.obj, network)
    finish(ctx, driver(ctx.obj, name, say.progress, Launch).start(name, node, layer, timeout), as_json)
