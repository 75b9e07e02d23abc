"""Checks of a network that is deployed: what runs, what should, and what has drifted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qkdbus.network.addresses import numbers

from .. import drift, launch, nodes, ports, wishes
from ..readiness import CRASH_LOOP
from ..status import LayerStatus, LinkStatus, NetworkStatus, NodeStatus
from .finding import Finding, well

OFTEN = 3  # deaths of a supervisord that are worth a word


def parent(network: Path) -> Iterator[Finding]:
    """See whether somebody restarts nodes of this machine that die."""
    running = launch.running(network)
    warm, _ = wishes.state(network)
    if running and warm is None:
        text = "its warm parent is gone: a node that dies stays down"
        yield Finding("warm parent", network.name, "error", text, f"qkdbus start {network.name}")
    elif running:
        assert warm is not None
        yield well("warm parent", f"alive, pid {warm.pid}", network.name)


def taken_ports(network: Path) -> Iterator[Finding]:
    """See whether nodes of this machine that do not run could have their ports."""
    running, taken = launch.running(network), 0
    for node in nodes.read_all(network):
        if node.name in running:
            continue
        for port in numbers(node.settings.ports):
            if port and not ports.is_free(node.settings.listen, port):
                taken += 1
                text = f"another program has TCP port {port} of {node.settings.listen}"
                mend = f"end it (`ss -tlnp sport = :{port}` shows it), or deploy again: other ports are taken then"
                yield Finding("ports", node.name, "error", text, mend)
    if not taken:
        yield well("ports", "nobody else has them", network.name)


def services(status: NetworkStatus) -> Iterator[Finding]:
    """See whether nodes and their layers run, are ready, and stay up."""
    name = status.network
    found = [one for node in status.nodes for one in _of_node(name, node)]
    yield from found
    if not found:
        running = sum(node.state == "running" for node in status.nodes)
        yield well("nodes", f"{running} of {len(status.nodes)} run, all of their layers are ready", name)


def links(status: NetworkStatus) -> Iterator[Finding]:
    """See whether the two ends of each link meet, and form keys."""
    running = {node.node for node in status.nodes if node.state == "running"}
    seen: set[frozenset[str]] = set()
    broken = 0
    for link in status.links:
        ends = frozenset((link.node, link.peer))
        finding = _of_link(link, running)
        if finding is not None and ends not in seen:
            seen.add(ends)
            broken += 1
            yield finding
    if status.links and not broken:
        yield well("links", f"{len({frozenset((one.node, one.peer)) for one in status.links})} up", status.network)


def drifted(network: Path, status: NetworkStatus) -> Iterator[Finding]:
    """See whether it is still as its file says, and as it was deployed."""
    found = drift.look(network, status)
    for one in found:
        yield Finding("drift", network.name, "warning", one.text)
    if not found:
        yield well("drift", "as it was deployed", network.name)


def _of_node(network: str, node: NodeStatus) -> Iterator[Finding]:
    if node.state == "unknown":
        yield Finding("nodes", node.node, "error", node.reason or "nothing is known of it")
        return
    if node.restarts >= OFTEN:
        text = f"its supervisord has died {node.restarts} times"
        yield Finding(
            "nodes", node.node, "warning", text, f"look: qkdbus logs {node.node} supervisord --network {network}"
        )
    if node.state != "running":
        return
    for layer in node.layers:
        yield from _of_layer(network, node, layer)


def _of_layer(network: str, node: NodeStatus, layer: LayerStatus) -> Iterator[Finding]:
    logs = f"look: qkdbus logs {node.node} {layer.layer} --network {network}"
    if layer.state in ("backoff", "fatal", "exited") or (layer.restarts >= CRASH_LOOP and (layer.uptime or 0) < 60):
        text = f"{layer.layer} ends again and again ({layer.restarts} restarts)"
        yield Finding("nodes", node.node, "error", text, logs)
    elif layer.state == "stopped":
        yield Finding("nodes", node.node, "warning", f"{layer.layer} is stopped", f"qkdbus start {network} {node.node}")
    elif layer.state != "ready":
        reason = f": {layer.reason}" if layer.reason else ""
        yield Finding("nodes", node.node, "error", f"{layer.layer} is {layer.state}{reason}", logs)


def _of_link(link: LinkStatus, running: set[str]) -> Finding | None:
    where = f"{link.node} - {link.peer}"
    if link.state == "alarm":
        mend = f"`qkdbus attack {link.node} {link.peer}` tells whether somebody listens; keys come again by themselves"
        return Finding("links", where, "error", f"alarm: {link.alarm or 'no reason given'}", mend)
    if link.state != "down":
        return None
    if link.peer not in running:
        return Finding("links", where, "warning", f"{link.peer} does not run", "start it")
    text = f"{link.node} does not reach {link.peer}{f': {link.alarm}' if link.alarm else ''}"
    return Finding("links", where, "error", text, "are the ports open that `qkdbus plan` lists?")
