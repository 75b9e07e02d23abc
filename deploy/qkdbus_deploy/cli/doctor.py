"""`qkdbus doctor`: the usual faults, and how to mend each."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say, targets

if TYPE_CHECKING:
    from ..doctor.examine import Question
    from ..doctor.finding import Finding


@click.command()
@click.argument("network", required=False)
@click.argument("inventory", type=click.Path(path_type=Path), required=False)
@targets.ansible_options
@say.json_option
@click.pass_context
def command(ctx: click.Context, /, network: str | None, inventory: Path | None, as_json: bool, **more: Any) -> None:
    """Look for the usual faults, and say how to mend each; the exit code is 1 when there is an error.

    Without arguments it looks at this machine and at every network that is deployed. NETWORK is one of those, or a
    network file, before or after its deploy. Of a network on hosts, or with an INVENTORY, each host is looked at, too:
    is it reached, are its Python, disk, memory and clock fit, are its ports free, do the names of its neighbours lead
    to them, does every door of theirs open to it.

    Nothing is changed. A warning is about something that works, and may be a surprise.

    \b
      qkdbus doctor
      qkdbus doctor network.yaml inventory.yaml
      qkdbus doctor three-sites --json | jq '.findings[] | select(.severity != "ok")'
    """
    from ..doctor.examine import examine

    found: list[Finding] = []
    for one in examine(_question(ctx.obj, network, inventory, more)):
        found.append(one)
        if not as_json:
            _tell(one)
    errors, warnings = (sum(one.severity == severity for one in found) for severity in ("error", "warning"))
    if as_json:
        say.data({"errors": errors, "warnings": warnings, "findings": [asdict(one) for one in found]})
    else:
        say.answer(f"\n{say.count(errors, 'error')}, {say.count(warnings, 'warning')}")
    if errors:
        ctx.exit(1)


def _question(home: Path, network: str | None, inventory: Path | None, more: dict[str, Any]) -> Question:
    from .. import nodes, source
    from ..doctor.examine import Question

    options = targets.way_in(more)
    if network is None:
        return Question(home, options=options)
    is_file = Path(network).is_file() or Path(network).suffix in (".yaml", ".yml", ".json")
    if network in nodes.networks(home) or not is_file:
        return Question(home, nodes.choose(home, network), None, inventory, options)
    said = source.network(Path(network))
    return Question(home, said.name, said, inventory, options)


def _tell(one: Finding) -> None:
    where = f"{one.where}: " if one.where else ""
    say.answer(f"{one.severity:<8} {one.check:<12} {where}{one.text}")
    if one.mend:
        say.answer(f"{'':<21} -> {one.mend}")
