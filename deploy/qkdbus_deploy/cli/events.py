"""`qkdbus events`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import say

if TYPE_CHECKING:
    from ..logbook import Line

_COLOURS = {"alarm": "red", "gap": "red", "stream_gone": "red", "exchange_failed": "yellow", "clear": "green"}
_KNOWN = ("node", "layer", "replica", "number", "unkept")  # shown by position, or of no interest to a person
_EVERYTHING = 1_000_000


@click.command()
@click.argument("network", required=False)
@click.argument("node", nargs=-1)
@click.option("--follow", "-f", is_flag=True, help="Go on with events as they come.")
@click.option("--lines", "-n", type=click.IntRange(min=0), default=50, show_default=True, help="How many past events.")
@click.option("--layer", metavar="LAYER", help="Only of this layer, or program (qbackend_1).")
@click.option("--match", metavar="REGEX", help="Only where `node.layer.event field=value ...` matches.")
@say.json_option
@click.pass_obj
def command(
    home: Path,
    network: str | None,
    node: tuple[str, ...],
    follow: bool,
    lines: int,
    layer: str | None,
    match: str | None,
    as_json: bool,
) -> None:
    """Show what services have published, of all nodes or of some, in time order.

    Each service keeps some megabytes of its events. Where events are missing, an event `gap` says how many. With
    --json, an event is a line.

    \b
      qkdbus events three-sites -f
      qkdbus events three-sites Alice Bob --match 'alarm|clear'
      qkdbus events three-sites --layer qbackend --json -n 1000 | jq 'select(.event == "key_distilled").qber'
    """
    from .. import nodes
    from ..drivers.choose import driver
    from ..logbook import Wanted
    from ..watching import eventbook

    network, node = _names(home, network, node)
    wanted = _filter(match)
    found = driver(home, network, say.progress)
    one = node[0] if len(node) == 1 else None
    for name in node:
        if name not in nodes.names(home / network):
            raise click.BadParameter(nodes.unknown("node", name, nodes.names(home / network), network))
    asked = lines if one is not None or not node else _EVERYTHING
    # first, so that nothing is missed between the past and what comes
    lines_of = Wanted(one, layer, what="events", count=_EVERYTHING if match else asked)
    following = found.follow(network, lines_of) if follow else iter(())
    known = found.logs(network, lines_of)
    told = eventbook.once(chain(known, [eventbook.NOW], following))
    past = list(iter(lambda: next(told), eventbook.NOW))
    shown = [line for line in past if _of(line, node) and wanted(line)]
    _show(shown[-lines:] if lines else [], as_json)
    if follow:
        _show((line for line in told if _of(line, node) and wanted(line)), as_json)


def _names(home: Path, network: str | None, node: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Tell networks from nodes: with one network alone, its name may be left out."""
    from .. import nodes

    known = nodes.networks(home)
    if network is not None and network not in known and len(known) == 1 and network in nodes.names(home / known[0]):
        return known[0], (network, *node)
    return nodes.choose(home, network), node


def _filter(match: str | None) -> Callable[[Line], bool]:
    if match is None:
        return lambda line: True
    try:
        pattern = re.compile(match)
    except re.error as error:
        raise click.BadParameter(f"{match!r} is no regular expression: {error}") from None
    return lambda line: pattern.search(_matched(line)) is not None


def _matched(line: Line) -> str:
    from ..watching.eventbook import topic

    fields = " ".join(f"{name}={value}" for name, value in line.fields.items() if name not in _KNOWN)
    return f"{topic(line)} {fields}"


def _of(line: Line, node: tuple[str, ...]) -> bool:
    return not node or line.node in node


def _show(lines: Iterable[Line] | Iterator[Line], as_json: bool) -> None:
    from ..watching.eventbook import plain

    for line in lines:
        say.answer(json.dumps(plain(line)) if as_json else _readable(line))


def _readable(line: Line) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(line.at)) + f".{int(line.at * 1000) % 1000:03d}"
    program = line.program.removesuffix(".events")
    fields = " ".join(f"{name}={value}" for name, value in line.fields.items() if name not in _KNOWN)
    event = click.style(f"{line.event:16}", fg=_COLOURS.get(line.event))
    return f"{when} {line.node:8} {program:12} {event} {fields}".rstrip()
