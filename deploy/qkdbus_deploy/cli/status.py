"""`qkdbus status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import say

if TYPE_CHECKING:
    from ..status import LinkStatus, NetworkStatus


@click.command()
@click.argument("network", required=False)
@say.json_option
@click.pass_obj
def command(home: Path, network: str | None, as_json: bool) -> None:
    """Show nodes, layers, links and key streams of a network; of all networks when none is named.

    \b
      qkdbus status
      qkdbus status three-sites --json | jq '.links[] | {node, peer, qber}'
    """
    from .. import nodes
    from ..drivers.local import Local

    local = Local(home)
    names = [nodes.choose(home, network)] if network else local.networks()
    found = [local.status(name) for name in names]
    if as_json:
        say.data(found[0].plain() if network else {"networks": [one.plain() for one in found]})
        return
    if not found:
        say.answer(f"no network in {home}")
    for number, one in enumerate(found):
        if number:
            say.answer("")
        _tell(one)


def _tell(status: NetworkStatus) -> None:
    say.answer(f"{status.network}: {status.state}, {say.count(len(status.nodes), 'node')}")
    if status.warm_parent is None and any(node.pid for node in status.nodes):
        say.notice(f"its warm parent is gone: a node that dies stays down (`qkdbus start {status.network}` mends it)")
    _tell_layers(status)
    if status.links:
        _tell_links(status)
    if status.streams:
        _tell_streams(status)


def _tell_layers(status: NetworkStatus) -> None:
    rows: list[tuple[object, ...]] = []
    for node in status.nodes:
        rows.append((node.node, "supervisord", node.state, node.pid, None, node.restarts, None, ""))
        for layer in node.layers:
            name = f"{layer.layer} {layer.replica}" if layer.layer == "qbackend" else layer.layer
            uptime = None if layer.uptime is None else _span(layer.uptime)
            contract = layer.contract_version
            rows.append(("", name, layer.state, layer.pid, uptime, layer.restarts, contract, layer.reason))
    say.table(("node", "layer", "state", "pid", "uptime", "restarts", "contract", "reason"), rows)


def _tell_links(status: NetworkStatus) -> None:
    ends = {(link.node, link.peer): link for link in status.links}
    rows = []
    for (node, peer), link in ends.items():
        other = ends.get((peer, node))
        if link.arbiter or other is None:  # each link once, as its arbiter sees it
            rows.append(_link_row(link, other))
    say.answer("")
    headings = ("link", "protocol", "emulator", "state", "key bit/s", "QBER", "keys here/there", "alarm")
    say.table(headings, rows)


def _link_row(link: LinkStatus, other: LinkStatus | None) -> tuple[object, ...]:
    buffered = f"{link.buffered_keys}/{other.buffered_keys if other else '?'}"
    qber = f"{link.qber:.4f}"
    name = f"{link.node} - {link.peer}"
    return (name, link.protocol, link.emulator, link.state, round(link.key_rate), qber, buffered, link.alarm)


def _tell_streams(status: NetworkStatus) -> None:
    say.answer("")
    headings = ("stream", "at", "source", "destination", "state", "key bytes", "delivered", "expired", "buffered")
    rows = [
        (s.ksid, s.node, s.source, s.destination, s.state, s.key_bytes, s.delivered, s.expired, s.buffered)
        for s in sorted(status.streams, key=lambda stream: (stream.ksid, stream.node))
    ]
    say.table(headings, rows)


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
