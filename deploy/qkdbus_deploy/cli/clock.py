"""`qkdbus clock`."""

from __future__ import annotations

from pathlib import Path

import click

from . import say


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("seconds", type=float, required=False)
@click.option("--right", is_flag=True, help="Put it right again.")
@click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")
@click.pass_obj
def command(home: Path, node: str, seconds: float | None, right: bool, network: str | None) -> None:
    """Put the date of a NODE off by so many SECONDS, say by how many it is, or put it right again.

    For experiments: what events, records and status say of time is wrong then. What lasts (the life of a key, a
    deadline) is counted in time that passes, and must not notice. Services look once a second. It stays until --right,
    or a reboot where sockets live in a folder that does not survive one.

    \b
      qkdbus clock Alice 3600       an hour ahead
      qkdbus clock Alice -90        a minute and a half behind
      qkdbus clock Alice            by how much?
      qkdbus clock Alice --right
    """
    if right and seconds is not None:
        raise click.UsageError("say a number of seconds, or --right")
    from qkdbus.errors import Refused
    from qkdbus.runtime import clock

    from .. import nodes, place
    from ..fleet import record

    name = nodes.choose_by_node(home, node, network)
    file = nodes.read(home / name, node).settings.run / clock.OFFSET
    if record.read(home / name) is not None:
        raise Refused(f"{node} is on another machine: write the number of seconds into {file} there, or remove that")
    if right:
        file.unlink(missing_ok=True)
    elif seconds is not None:
        if not file.parent.is_dir():
            raise Refused(f"{file.parent}: not there; `qkdbus start {name} {node}` makes it")
        place.write(file, f"{seconds!r}\n")
    off = clock.read(file)
    say.answer(f"{node}: {f'off by {off:+g} s' if off else 'right'}")
