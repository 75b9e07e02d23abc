"""`qkdbus deploy`: a network file in, a running network out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import say

if TYPE_CHECKING:
    from qkdbus.network.model import Network

    from ..drivers.driver import Deployed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NETWORK", help="Call the network so, whatever its file says.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds to wait for readiness."
)
@say.json_option
@click.pass_context
def command(ctx: click.Context, file: Path, name: str | None, timeout: float, as_json: bool) -> None:
    """Bring a network up on this machine and wait until every service of every node is ready.

    A second deploy of the same file changes nothing; after an edit it restarts the nodes that the edit concerns.
    Keys, ports and credentials stay. Ctrl-C stops what was started.

    \b
      qkdbus deploy three-sites.yaml
      qkdbus deploy three-sites.yaml --name another
    """
    from ..launch import Launch

    spare = Launch()  # its imports run while we make ours, and the plan
    try:
        network = _read(file, name)
        for notice in _notices(network):
            say.notice(notice)
        from ..drivers.local import Local

        result = Local(ctx.obj, say.progress, spare).deploy(network, timeout)
    finally:
        spare.abandon()
    finish(ctx, result, as_json, "nothing changed, ")


def finish(ctx: click.Context, result: Deployed, as_json: bool, no_change: str = "") -> None:
    """Say how a deploy or a start ended; exit code 1 when a service is not ready."""
    if as_json:
        say.data({"ready": not result.unready, **asdict(result)})
    elif not result.unready:
        say.answer(_success(result, no_change))
    for service in result.unready:
        say.failure(f"{service.node}: {service.program} is not ready: {service.reason}")
        for line in service.log or ("(it logged nothing)",):
            say.progress(f"    {line}")
    if result.unready:
        first = result.unready[0]
        say.progress(
            f"the rest runs; look with `qkdbus logs {first.node} {first.program}`, then deploy again or destroy"
        )
        ctx.exit(1)


def _read(file: Path, name: str | None) -> Network:
    from qkdbus.network.load import load
    from qkdbus.network.model import Network

    network = load(file)
    if name is None:
        return network
    renamed = Network.model_validate({**network.model_dump(exclude_unset=True), "name": name})
    return renamed.noticing(network.notices)


def _notices(network: Network) -> list[str]:
    notices = list(network.notices)
    if any(node.node_ip for node in network.nodes):
        notices.append("no inventory: everything runs on this machine, and node_ip is ignored")
    return notices


def _success(result: Deployed, no_change: str) -> str:
    if not result.changed and not result.removed:
        return f"{result.network}: {no_change}{say.count(result.services, 'service')} ready"
    done = f"{say.count(len(result.changed), 'node')} started"
    if result.removed:
        done += f", {', '.join(result.removed)} removed"
    return f"{result.network}: {done}, {say.count(result.services, 'service')} ready in {result.seconds:.1f} s"
