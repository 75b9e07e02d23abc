"""`qkdbus client`: credentials of applications."""

from __future__ import annotations

from pathlib import Path

import click

from . import say

_network = click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")


def _folder(home: Path, node: str, network: str | None) -> Path:
    from .. import nodes

    return home / nodes.choose_by_node(home, node, network)


@click.group()
def command() -> None:
    """Let applications in at a node: add, list and revoke credentials.

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

    file = credentials.add(_folder(home, node, network), node, app)
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

    found = credentials.known(_folder(home, node, network), node)
    if as_json:
        say.data(found)
    elif found:
        say.table(("application", "public key"), found.items())
    else:
        say.answer(f"{node} lets no application in but those of whoever deployed it")


@command.command()
@click.argument("node")
@click.argument("app")
@_network
@click.pass_obj
def revoke(home: Path, node: str, app: str, network: str | None) -> None:
    """Let the application APP in at NODE no more, and wipe its credential."""
    from .. import credentials

    credentials.revoke(_folder(home, node, network), node, app)
    say.answer(f"{node} lets {app} in no more")
