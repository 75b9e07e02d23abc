"""`qkdbus status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    Of each link, as its last block tells:
      QBER      share of the published bits that differ; S: of the CHSH test, above 2 when nobody interferes (e91)
      security  in which sense keys are secret, and how probably a block is not (finite)
      leak      bits told by the error correction, per bit that went into it
      clock     how the time of a photonic link goes by
      alarm     why it gives no key now

    Of qbackend workers, where a node has several: what each has to do; of jobs that wait for a worker, or lost it: how
    many of which link, and for how long.

    It says, too, what is no longer as it was deployed (`drift`): the network file has changed since (and which nodes
    that concerns), a node runs as it was placed before, or was deployed by another version of qkdbus.

    \b
      qkdbus status
      qkdbus status three-sites --json | jq '.links[] | {node, peer, qber, last}'
      qkdbus status three-sites --json | jq .drift
    """
    from .. import nodes

    names = [nodes.choose(home, network)] if network else nodes.networks(home)
    found = [_look(home, name) for name in names]
    if as_json:
        say.data(found[0].plain() if network else {"networks": [one.plain() for one in found]})
        return
    if not found:
        say.answer(f"no network in {home}")
    for number, one in enumerate(found):
        if number:
            say.answer("")
        _tell(one)


def _look(home: Path, name: str) -> NetworkStatus:
    from .. import drift
    from ..drivers.choose import driver

    status = driver(home, name).status(name)
    return replace(status, drift=drift.look(home / name, status))


def _tell(status: NetworkStatus) -> None:
    say.answer(f"{status.network}: {status.state}, {say.count(len(status.nodes), 'node')}")
    for one in status.drift:
        say.notice(one.text)
    if status.warm_parent is None and any(node.pid for node in status.nodes):
        say.notice(f"its warm parent is gone: a node that dies stays down (`qkdbus start {status.network}` mends it)")
    _tell_layers(status)
    if status.links:
        _tell_links(status)
    if status.streams:
        _tell_streams(status)
    _tell_workers(status)


def _tell_layers(status: NetworkStatus) -> None:
    rows: list[tuple[object, ...]] = []
    for node in status.nodes:
        rows.append((node.node, "supervisord", node.state, node.pid, None, node.restarts, None, ""))
        for layer in node.layers:
            name = f"{layer.layer} {layer.replica}" if layer.layer == "qbackend" else layer.layer
            uptime = None if layer.uptime is None else _span(layer.uptime)
            contract = layer.contract_version
            reason = layer.reason or (f"swapped: {layer.swapped}" if layer.swapped else "")
            rows.append(("", name, layer.state, layer.pid, uptime, layer.restarts, contract, reason))
    say.table(("node", "layer", "state", "pid", "uptime", "restarts", "contract", "reason"), rows)


def _tell_links(status: NetworkStatus) -> None:
    ends = {(link.node, link.peer): link for link in status.links}
    rows = []
    for (node, peer), link in ends.items():
        other = ends.get((peer, node))
        if link.arbiter or other is None:  # each link once, as its arbiter sees it
            rows.append(_link_row(link, other))
    say.answer("")
    headings = [name for name in rows[0] if name not in _OPTIONAL or any(row[name] != "-" for row in rows)]
    say.table(headings, [[row[name] for name in headings] for row in rows])


_OPTIONAL = ("S", "clock")  # shown where any link has them


def _link_row(link: LinkStatus, other: LinkStatus | None) -> dict[str, object]:
    ends = [end for end in (link, other) if end is not None]
    last: Mapping[str, Any] = max((end.last or {} for end in ends), key=lambda record: record.get("finished_at", 0.0))
    alarmed = link.state == "up" and other is not None and other.state == "alarm"  # what one end saw holds for both
    return {
        "link": f"{link.node} - {link.peer}",
        "protocol": link.protocol,
        "emulator": link.emulator,
        "state": "alarm" if alarmed else link.state,
        "key bit/s": round(link.key_rate),
        "QBER": f"{last['qber'] if last.get('disclosed') else link.qber:.4f}",
        "S": f"{last['s']:.3f} +- {last['s_error']:.3f}" if last.get("s_error") else "-",
        "security": _security(last),
        "leak": f"{last['leaked'] / last['kept']:.3f}" if last.get("leaked") else "-",
        "clock": _clock(link.speed),
        "keys here/there": f"{link.buffered_keys}/{other.buffered_keys if other else '?'}",
        "alarm": link.alarm or (other.alarm if other else ""),
    }


def _security(last: Mapping[str, Any]) -> str:
    """Say in which sense the last block was secret."""
    sense = last.get("security") or "-"
    return f"{sense} {last['epsilon']:.0e}" if last.get("epsilon") else str(sense)


def _clock(speed: float | None) -> str:
    if speed is None:
        return "-"
    return {0.0: "as fast as possible", 1.0: "real time"}.get(speed, f"x{speed:g}")


def _tell_streams(status: NetworkStatus) -> None:
    say.answer("")
    headings = ("stream", "at", "source", "destination", "state", "key bytes", "delivered", "expired", "buffered")
    rows = [
        (s.ksid, s.node, s.source, s.destination, s.state, s.key_bytes, s.delivered, s.expired, s.buffered)
        for s in sorted(status.streams, key=lambda stream: (stream.ksid, stream.node))
    ]
    say.table(headings, rows)


def _tell_workers(status: NetworkStatus) -> None:
    """Show the workers of nodes that have several, and jobs that wait, or lost their worker, anywhere."""
    many = {worker.node for worker in status.workers if worker.worker}
    rows: list[tuple[object, ...]] = [
        (w.node, w.worker, w.state + (", asked last" if w.last_choice else ""), w.running, w.reserved, w.capacity,
         w.done, w.failed, w.lost, w.slow)
        for w in status.workers
        if w.node in many
    ]  # fmt: skip
    if rows:
        say.answer("")
        say.table(
            ("workers of", "no.", "state", "running", "promised", "at most", "done", "failed", "lost", "slow"), rows
        )
    rows = [
        (j.node, j.peer, j.running, j.waiting, j.priority if j.waiting else "-", _wait(j.longest), j.done, j.lost,
         f"{j.seconds:.2f}")
        for j in status.jobs
        if j.waiting or j.lost or (j.node in many and j.done)
    ]  # fmt: skip
    if rows:
        say.answer("")
        headings = ("jobs at", "link to", "running", "waiting", "priority", "longest", "done", "lost", "s each")
        say.table(headings, rows)


def _wait(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds else "-"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
