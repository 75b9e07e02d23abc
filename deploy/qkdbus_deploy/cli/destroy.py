"""`qkdbus destroy`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say, targets

if TYPE_CHECKING:
    from ..drivers.driver import Driver


@click.command()
@click.argument("network", required=False)
@click.argument("node", required=False)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--forget", is_flag=True, help="Forget nodes on hosts that cannot be reached: they stay there.")
@targets.osm_options
@click.pass_obj
def command(home: Path, /, network: str | None, node: str | None, yes: bool, forget: bool, **more: Any) -> None:
    """Remove a network, or one node of it: processes, sockets, files; keys are overwritten first.

    Asks before it does so, when a person is there to answer. Machines that OSM made for it go, too, and nothing else
    there: say the password again (OSM_PASSWORD); the rest is known from the deploy.

    \b
      qkdbus destroy three-sites
    """
    from .. import nodes

    name = nodes.choose(home, network)
    what = f"{name}/{node}" if node else name
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove {what} with all its keys from {home}?", abort=True)
    _driver(home, name, more, forget=forget).destroy(name, node)
    say.answer(f"{what}: destroyed")


def _driver(home: Path, name: str, more: dict[str, Any], *, forget: bool) -> Driver:
    from ..fleet import record

    known = record.read(home / name)
    if known is None:
        from ..drivers.local import Local

        return Local(home, say.progress)
    if known.machines is None:
        from ..drivers.fleet import Fleet

        return Fleet(home, say.progress, forget=forget)
    from ..drivers.osm import Osm, recalled

    way, order = more.pop("osm_way"), targets.ordered(more, dict(os.environ), recalled(known))
    assert order is not None
    return Osm(home, order, say.progress, way=way)
