"""`qkdbus logs`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say

if TYPE_CHECKING:
    from ..logbook import Line

LEVELS = ("debug", "info", "warning", "error", "critical")
_COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}
_KNOWN = ("node", "layer", "replica", "fault")  # shown by position


@click.command()
@click.argument("node")
@click.argument("layer", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with lines as they are written.")
@click.option("--lines", "-n", type=click.IntRange(min=0), default=50, show_default=True, help="How many last lines.")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Only what matters at least that much.")
@click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")
@say.json_option
@click.pass_obj
def command(
    home: Path, node: str, layer: str | None, follow: bool, lines: int, level: str, network: str | None, as_json: bool
) -> None:
    """Read the logs of a node: of one layer, or of all merged in time order.

    Lines that do not tell their level (a foreign program, a traceback) are always shown.

    \b
      qkdbus logs Alice
      qkdbus logs Alice keysync -f --level warning
      qkdbus logs Alice qbackend_1 --json | jq .event
      qkdbus logs Alice supervisord
    """
    from .. import nodes
    from ..drivers.local import Local

    local = Local(home)
    name = nodes.choose_by_node(home, node, network)
    coming = local.follow(name, node, layer, level) if follow else iter(())
    _show(local.logs(name, node, layer, lines, level), as_json)
    _show(coming, as_json)


def _show(lines: Iterable[Line], as_json: bool) -> None:
    for line in lines:
        say.answer(_as_json(line) if as_json else _readable(line))


def _as_json(line: Line) -> str:
    """Return the line as it was written, or as much of it as there is, always as a JSON object."""
    if line.fields:
        return line.raw
    said: dict[str, Any] = {"at": line.at, "level": line.level, "layer": line.program, "event": line.event}
    return json.dumps(said)


def _readable(line: Line) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(line.at)) + f".{int(line.at * 1000) % 1000:03d}" if line.at else ""
    fields = " ".join(f"{key}={_value(value)}" for key, value in line.fields.items() if key not in _KNOWN)
    level = click.style(f"{line.level:8}", fg=_COLOURS.get(line.level))
    text = f"{when:12} {line.program:12} {level} {line.event} {fields}".rstrip()
    fault = line.fields.get("fault")
    if isinstance(fault, dict):
        where = "".join(f"\n{'':22}{place}" for place in fault.get("where", ()))
        text += f"\n{'':22}{fault.get('kind')}: {fault.get('text')}{where}"
    return text


def _value(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value)
