"""`qkdbus validate`: is a network file right, and what does it describe?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import say


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@say.json_option
def command(file: Path, as_json: bool) -> None:
    """Check a network file and say what it describes.

    Every problem is told with file, line, field, what is wrong and what would be right; the exit code is then 2.
    Files of the ancestor (quditto_version, qmts_version) are read as they are.

    \b
      qkdbus validate three-sites.yaml
      qkdbus validate three-sites.yaml --json | jq .links
    """
    from qkdbus.network.load import load

    network = load(file)
    found = _summary(network)
    if as_json:
        say.data(found)
        return
    for notice in network.notices:
        say.notice(notice)
    links = found["links"]
    sites, joined = (say.count(len(found[what]), word) for what, word in (("nodes", "node"), ("links", "link")))
    say.answer(f"{network.name}: {sites}, {joined}, applications by {found['application_interface']}\n")
    say.table(
        ("node", "address", "neighbours"), [(n["name"], n["ip"], ", ".join(n["neighbours"])) for n in found["nodes"]]
    )
    if links:
        say.answer("")
        rows = [(" - ".join(link["between"]), link["protocol"], link["emulator"], link["block_bits"]) for link in links]
        say.table(("link", "protocol", "emulator", "block bits"), rows)


def _summary(network: Any) -> dict[str, Any]:
    from qkdbus.network.routes import routes

    return {
        "network": network.name,
        "application_interface": network.config.application_interface,
        "notices": list(network.notices),
        "nodes": [
            {"name": node.node_name, "ip": node.node_ip or None, "neighbours": list(node.neighbour_nodes)}
            for node in network.nodes
        ],
        "links": [
            {"between": [route.arbiter, route.follower], "arbiter": route.arbiter, **route.settings.model_dump()}
            for route in routes(network)
        ],
    }
