"""`qkdbus deploy`: a network file in, a running network out."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say, targets

if TYPE_CHECKING:
    from qkdbus.network.model import Network

    from ..drivers.driver import Driver
    from ..launch import Launch
    from ..outcome import Deployed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("inventory", type=click.Path(path_type=Path), required=False)
@click.option("--name", metavar="NETWORK", help="Call the network so, whatever its file says.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds to wait for readiness."
)
@targets.ansible_options
@targets.osm_options
@targets.machine_options
@say.json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    inventory: Path | None,
    name: str | None,
    timeout: float,
    as_json: bool,
    **more: Any,
) -> None:
    """Bring a network up and wait until every service of every node is ready.

    Without an INVENTORY it runs on this machine. With one (any inventory of Ansible) each node runs on the host that
    is called like it, or that is at its node_ip; hosts need sshd and Python 3.11 or 3.12, and nothing from the
    internet. A host with `ansible_connection: local` is this machine. With OSM's options, machines are made first.

    A second deploy of the same file changes nothing; after an edit it restarts the nodes that the edit concerns.
    Keys, ports and credentials stay. What fails is named, with what to do; the rest is deployed, and the next deploy
    goes on from there. Ctrl-C on this machine stops what was started.

    \b
      qkdbus deploy three-sites.yaml
      qkdbus deploy three-sites.yaml --name another
      qkdbus deploy network.yaml inventory.yaml
      qkdbus deploy network.yaml --osm-hostname osm.example --vim-account lab --ssh-key ~/.ssh/id_ed25519.pub
    """
    from .. import source
    from ..launch import Launch

    # A warm parent imports while we do, and while we plan; elsewhere it is of no use.
    spare = Launch() if inventory is None and not more["osm_hostname"] else None
    try:
        network = source.network(file, name)
        for notice in _notices(network):
            say.notice(notice)
        target = _driver(ctx.obj, network, inventory, spare, more)
        with source.remembered(ctx.obj / network.name, file, name, network):
            result = target.deploy(network, timeout)
    finally:
        if spare is not None:
            spare.abandon()
    finish(ctx, result, as_json, "nothing changed, ")


def _driver(home: Path, network: Network, inventory: Path | None, spare: Launch | None, more: dict[str, Any]) -> Driver:
    """Return the target that is asked for, or the one that the network is on already."""
    options = targets.way_in(more)
    way, order = more.pop("osm_way"), targets.ordered(more, dict(os.environ), _ordered_before(home, network.name))
    if order is not None:
        from ..drivers.osm import Osm

        if inventory is not None:
            say.notice(f"{inventory}: not used, OSM gives addresses and ways in")
        return Osm(home, order, say.progress, options, way)
    if inventory is not None or _is_elsewhere(home, network.name):
        from ..drivers.fleet import Fleet

        return Fleet(home, say.progress, inventory, options)
    if any(node.node_ip for node in network.nodes):
        say.notice("no inventory: everything runs on this machine, and node_ip is ignored")
    from ..drivers.local import Local

    return Local(home, say.progress, spare)


def _is_elsewhere(home: Path, network: str) -> bool:
    from ..fleet import record

    return record.read(home / network) is not None


def _ordered_before(home: Path, network: str) -> dict[str, Any] | None:
    from ..fleet import record

    known = record.read(home / network)
    if known is None or known.machines is None:
        return None
    from ..drivers.osm import recalled

    return recalled(known)


def finish(ctx: click.Context, result: Deployed, as_json: bool, no_change: str = "") -> None:
    """Say how a deploy or a start ended; exit code 1 when something is not ready."""
    if as_json:
        say.data({"ready": result.ready, **asdict(result)})
    else:
        for note in result.notes:
            say.notice(note)
        if result.ready:
            say.answer(_success(result, no_change))
        if result.phases:
            say.table(("phase", "seconds"), [(name, f"{took:.2f}") for name, took in result.phases.items()], "  ")
    for trouble in result.troubles:
        say.failure(f"{trouble.node}: {trouble.step}: {trouble.reason}")
    for service in result.unready:
        say.failure(f"{service.node}: {service.program} is not ready: {service.reason}")
        for line in service.log or ("(it logged nothing)",):
            say.progress(f"    {line}")
    if result.troubles:
        say.progress("the rest is deployed; when that is mended, deploy again")
    if result.unready:
        first = result.unready[0]
        say.progress(
            f"the rest runs; look with `qkdbus logs {first.node} {first.program}`, then deploy again or destroy"
        )
    if not result.ready:
        ctx.exit(1)


def _notices(network: Network) -> list[str]:
    from .. import engines

    return [*network.notices, *engines.missing(network)]


def _success(result: Deployed, no_change: str) -> str:
    if not result.changed and not result.removed:
        return f"{result.network}: {no_change}{say.count(result.services, 'service')} ready"
    done = f"{say.count(len(result.changed), 'node')} started"
    if result.removed:
        done += f", {', '.join(result.removed)} removed"
    return f"{result.network}: {done}, {say.count(result.services, 'service')} ready in {result.seconds:.1f} s"
