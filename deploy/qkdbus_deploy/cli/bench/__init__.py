"""`qkdbus bench`: measure this machine, or a network; the repository's `benchmarks/` compare with baselines."""

from __future__ import annotations

import click

from . import key_time, keys, link


@click.group()
def command() -> None:
    """Measure this machine, or a network that runs."""


command.add_command(key_time.command)
command.add_command(link.command)
command.add_command(keys.command)
