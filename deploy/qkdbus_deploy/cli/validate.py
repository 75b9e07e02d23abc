"""`qkdbus validate`: is a network file right, and what does it describe?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import light, say


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--presets", is_flag=True, help="List the published systems that a photonic link can be like.")
@say.json_option
def command(file: Path | None, presets: bool, as_json: bool) -> None:
    """Check a network file and say what it describes.

    Every problem is told with file, line, field, what is wrong and what would be right; the exit code is then 2.
    Files of the ancestor (quditto_version, qmts_version) are read as they are. Of photonic links it says what key
    rate and QBER the formulas give, and what is assumed.

    \b
      qkdbus validate three-sites.yaml
      qkdbus validate three-sites.yaml --json | jq .links
      qkdbus validate --presets
    """
    from qkdbus.network.load import load

    if presets:
        listed = light.presets()
        return say.data(listed) if as_json else light.tell_presets(listed)
    if file is None:
        raise click.UsageError("name a network file, or --presets")
    network = load(file)
    found = _summary(network)
    if as_json:
        return say.data(found)
    return _tell(network, found)


def _tell(network: Any, found: dict[str, Any]) -> None:
    for notice in found["notices"]:
        say.notice(notice)
    links = found["links"]
    sites, joined = (say.count(len(found[what]), word) for what, word in (("nodes", "node"), ("links", "link")))
    say.answer(f"{network.name}: {sites}, {joined}, applications by {found['application_interface']}\n")
    say.table(
        ("node", "address", "neighbours"), [(n["name"], n["ip"], ", ".join(n["neighbours"])) for n in found["nodes"]]
    )
    if links:
        say.answer("")
        rows = [(" - ".join(link["between"]), link["protocol"], link["emulator"], _block(link)) for link in links]
        say.table(("link", "protocol", "emulator", "block bits"), rows)
    if bright := [(" - ".join(link["between"]), link["theory"]) for link in links if link["theory"]]:
        light.tell(bright)


def _summary(network: Any) -> dict[str, Any]:
    from qkdbus.network.routes import routes

    from .. import engines

    return {
        "network": network.name,
        "application_interface": network.config.application_interface,
        "notices": [*network.notices, *engines.missing(network)],
        "nodes": [
            {"name": node.node_name, "ip": node.node_ip or None, "neighbours": list(node.neighbour_nodes)}
            for node in network.nodes
        ],
        "links": [_link(route) for route in routes(network)],
    }


def _link(route: Any) -> dict[str, Any]:
    settings = route.settings
    theory = light.theory(settings) if settings.emulator == "photonic" else None
    ends = {"between": [route.arbiter, route.follower], "arbiter": route.arbiter}
    return {**ends, **settings.model_dump(), "theory": theory}


def _block(link: dict[str, Any]) -> int:
    """Return the bits of a block: of key on other links, sifted on photonic ones."""
    return int(link["theory"]["block_bits"] if link["theory"] else link["block_bits"])
