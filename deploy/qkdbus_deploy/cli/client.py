"""`qkdbus client`: credentials of applications."""

from __future__ import annotations

import time
from pathlib import Path

import click

from . import say

_network = click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")


def _folder(home: Path, node: str, network: str | None) -> Path:
    from .. import nodes

    return home / nodes.choose_by_node(home, node, network)


def _tell_node(home: Path, folder: Path, node: str) -> None:
    from ..drivers.choose import driver

    driver(home, folder.name).admitted(folder.name, node)


@click.group()
def command() -> None:
    """Let applications in at a node: add, list, rotate and revoke credentials.

    Whoever deployed the network needs none: `client.json` beside the nodes is his.
    """


@command.command()
@click.argument("node")
@click.argument("app")
@_network
@say.json_option
@click.pass_obj
def add(home: Path, node: str, app: str, network: str | None, as_json: bool) -> None:
    """Let the application APP in at NODE, and write its credential.

    \b
      qkdbus client add Alice app1
      python -c 'from qkdbus_client import Client; Client("Alice", file="Alice.app1.json")'
    """
    from .. import credentials

    folder = _folder(home, node, network)
    file = credentials.add(folder, node, app)
    _tell_node(home, folder, node)
    if as_json:
        say.data({"node": node, "app": app, "credential": file})
    else:
        say.answer(f"{node} lets {app} in; its credential (keep it secret): {file}")


@command.command(name="list")
@click.argument("node")
@_network
@say.json_option
@click.pass_obj
def list_(home: Path, node: str, network: str | None, as_json: bool) -> None:
    """Show which applications NODE lets in."""
    from .. import credentials

    folder, now = _folder(home, node, network), time.time()
    found, former = credentials.known(folder, node), credentials.former(folder, node, now)
    if as_json:
        say.data(found)
    elif found:
        left = {app: f"for {until - now:.0f} s more" for app, until in former.items()}
        rows = [(app, key, left.get(app, "")) for app, key in found.items()]
        say.table(
            ("application", "public key", "former key is good")[: 3 if left else 2],
            (row[: 3 if left else 2] for row in rows),
        )
    else:
        say.answer(f"{node} lets no application in but those of whoever deployed it")


@command.command()
@click.argument("node")
@click.argument("app")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    metavar="S",
    help="Seconds for which the former key is good.",
)
@_network
@say.json_option
@click.pass_obj
def rotate(home: Path, node: str, app: str, grace: float, network: str | None, as_json: bool) -> None:
    """Give the application APP at NODE a new key, and write its new credential.

    Its former key is good for a while yet, so that nothing stops: bring the application the new file in that time. Its
    streams and keys stay.

    \b
      qkdbus client rotate Alice app1 --grace 600
    """
    from .. import credentials

    folder = _folder(home, node, network)
    file = credentials.rotate(folder, node, app, grace)
    _tell_node(home, folder, node)
    if as_json:
        say.data({"node": node, "app": app, "credential": file, "grace": grace})
    else:
        former = f"the former is good for {grace:g} s more" if grace else "the former is good no more"
        say.answer(f"{app} has a new key at {node}, {former}; its credential (keep it secret): {file}")


@command.command()
@click.argument("node")
@click.argument("app")
@_network
@click.pass_obj
def revoke(home: Path, node: str, app: str, network: str | None) -> None:
    """Let the application APP in at NODE no more, and wipe its credential."""
    from .. import credentials

    folder = _folder(home, node, network)
    credentials.revoke(folder, node, app)
    _tell_node(home, folder, node)
    say.answer(f"{node} lets {app} in no more")
