"""`qkdbus destroy`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import say


@click.command()
@click.argument("network", required=False)
@click.argument("node", required=False)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(home: Path, network: str | None, node: str | None, yes: bool) -> None:
    """Remove a network, or one node of it: processes, sockets, files; keys are overwritten first.

    Asks before it does so, when a person is there to answer.

    \b
      qkdbus destroy three-sites
    """
    from .. import nodes
    from ..drivers.local import Local

    name = nodes.choose(home, network)
    what = f"{name}/{node}" if node else name
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove {what} with all its keys from {home}?", abort=True)
    Local(home, say.progress).destroy(name, node)
    say.answer(f"{what}: destroyed")
