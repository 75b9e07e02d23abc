"""`qkdbus logs`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say

if TYPE_CHECKING:
    from ..drivers.driver import Driver
    from ..logbook import Line, Wanted

LEVELS = ("debug", "info", "warning", "error", "critical")
_COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}
EVERY = "all"
_KNOWN = ("node", "layer", "replica", "fault", "number", "unkept")  # shown by position, or of no interest
_TRACE_DIGITS = 16
_TRACE = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}")
_EVERYTHING = 1_000_000


@click.command()
@click.argument("node", required=False)
@click.argument("layer", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with lines as they are written.")
@click.option("--lines", "-n", type=click.IntRange(min=0), help="How many last lines (default 50, all of a trace).")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Only what matters at least that much.")
@click.option("--trace", metavar="ID", help="Only what was done for this call or exchange, in all layers, events too.")
@click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")
@say.json_option
@click.pass_obj
def command(
    home: Path,
    node: str | None,
    layer: str | None,
    follow: bool,
    lines: int | None,
    level: str,
    trace: str | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Read logs: of one layer of a node, of all its layers, or of all nodes (no NODE, or `all`), in time order.

    Lines that do not tell their level (a foreign program, a traceback) are always shown.

    \b
      qkdbus logs -f
      qkdbus logs all keysync --level warning
      qkdbus logs Alice
      qkdbus logs Alice keysync -f --level warning
      qkdbus logs Alice qbackend_1 --json | jq .event
      qkdbus logs Alice supervisord

    \b
    A trace is what `qkdbus key ... --trace`, `Client(..., trace=True)` or a key's metadata names; of a key's exchange,
    its block_id does as well:
      qkdbus logs --trace 6f1c2d3e4f506172
    """
    from .. import nodes
    from ..drivers.choose import driver
    from ..logbook import Wanted, mentions
    from ..watching.eventbook import once

    one = None if node in (None, EVERY) else node
    name = nodes.choose_by_node(home, one, network) if one else nodes.choose(home, network)
    found = driver(home, name, say.progress)
    several = one is None
    if trace is not None:
        count = _EVERYTHING if lines is None else lines
        wanted = Wanted(one, layer, level, "both", count, _checked(trace))
        _show(_traced(found, name, wanted), as_json, several)
        if follow:
            coming = found.follow(name, wanted)
            _show((line for line in once(coming) if mentions(line, wanted.trace)), as_json, several)
        return
    wanted = Wanted(one, layer, level, count=50 if lines is None else lines)
    # from now on: what comes while the others are shown is not lost
    coming = found.follow(name, wanted) if follow else iter(())
    _show(found.logs(name, wanted), as_json, several)
    _show(coming, as_json, several)


def _checked(trace: str) -> str:
    if not _TRACE.fullmatch(trace):
        raise click.BadParameter(f"{trace!r} is no trace: 16 hexadecimal digits, or the 32 of a block_id")
    return trace.lower()


def _traced(found: Driver, network: str, wanted: Wanted) -> list[Line]:
    """Return the lines and events of a trace, or of the exchange that formed a block, in time order."""
    said, count = found.logs(network, wanted), wanted.count
    if len(wanted.trace) > _TRACE_DIGITS:  # a block: it names the trace of its exchange
        more = {str(line.fields["trace"]) for line in said if line.fields.get("trace") and line.fields.get("job")}
        said += [line for one in sorted(more) for line in found.logs(network, replace(wanted, trace=one))]
    logged = {_call(line) for line in said if not line.program.endswith(".events")}
    told: dict[tuple[object, ...], Line] = {}
    for line in sorted(said, key=lambda line: line.at):
        if line.event != "called" or not line.program.endswith(".events") or _call(line) not in logged:
            told.setdefault((line.node, line.program, line.raw), line)
    return list(told.values())[-count:] if count else []


def _call(line: Line) -> tuple[object, ...]:
    """Name a call, whether a log or an event tells of it: what both tell is shown once."""
    program = line.program.removesuffix(".events")
    return line.node, program, line.event, line.fields.get("method"), str(line.fields.get("seconds"))


def _show(lines: Iterable[Line], as_json: bool, several: bool) -> None:
    for line in lines:
        say.answer(_as_json(line) if as_json else _readable(line, several))


def _as_json(line: Line) -> str:
    """Return the line as it was written, or as much of it as there is, always as a JSON object."""
    if line.fields:
        return line.raw
    said: dict[str, Any] = {
        "at": line.at,
        "level": line.level,
        "node": line.node,
        "layer": line.program,
        "event": line.event,
    }
    return json.dumps(said)


def _readable(line: Line, several: bool) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(line.at)) + f".{int(line.at * 1000) % 1000:03d}" if line.at else ""
    fields = " ".join(f"{key}={_value(value)}" for key, value in line.fields.items() if key not in _KNOWN)
    level = click.style(f"{line.level:8}", fg=_COLOURS.get(line.level))
    who = f"{line.node:8} {line.program:12}" if several else f"{line.program:12}"
    text = f"{when:12} {who} {level} {line.event} {fields}".rstrip()
    fault = line.fields.get("fault")
    if isinstance(fault, dict):
        where = "".join(f"\n{'':22}{place}" for place in fault.get("where", ()))
        text += f"\n{'':22}{fault.get('kind')}: {fault.get('text')}{where}"
    return text


def _value(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value)
