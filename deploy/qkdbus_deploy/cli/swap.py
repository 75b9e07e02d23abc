"""`qkdbus swap`."""

from __future__ import annotations

from pathlib import Path

import click

from . import say
from .deploy import finish


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("layer")
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.option("--restore", is_flag=True, help="Run what was deployed again.")
@click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds to wait for readiness."
)
@say.json_option
@click.pass_context
def command(
    ctx: click.Context,
    node: str,
    layer: str,
    program: tuple[str, ...],
    restore: bool,
    network: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Run another program as a LAYER of a NODE, while the rest of the node keeps running and its streams stay open.

    The command gets the node's folder as its last argument (its settings are in node.yaml there), and as a worker of
    several also --replica N. It runs on the node's machine, in any language that speaks ZeroMQ and protobuf; the name
    of an entry point in the group `qkdbus.layers` will do, too. Words that begin with ./ or ../ are paths from here on.
    It stays over deaths, reboots and deploys, until --restore. To have it in the network file instead, see `layers:`
    there.

    \b
      qkdbus swap Alice keysync -- python -m mylab_keysync
      qkdbus swap Alice keysync -- python ./keysync.py
      qkdbus swap Alice qbackend -- /opt/lab/qbackend --verbose
      qkdbus swap Alice keysync --restore
    """
    if restore == bool(program):
        raise click.UsageError("say -- and a command, or --restore")
    from qkdbus.network.load import beside

    from .. import nodes, swaps
    from ..drivers.choose import driver

    name = nodes.choose_by_node(ctx.obj, node, network)
    target = driver(ctx.obj, name, say.progress)
    words = None if restore else beside(swaps.words(program), Path.cwd())
    finish(ctx, target.swap(name, node, layer, words, timeout), as_json)
