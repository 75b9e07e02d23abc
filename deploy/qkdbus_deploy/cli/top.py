"""`qkdbus top`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..watching.sorts import SORTS
from . import say

if TYPE_CHECKING:
    from ..watching.board import Board
    from ..watching.sample import Sample

SHORTEST = 0.2  # s
KEYS = {"n": "name", "c": "cpu", "m": "memory", "r": "restarts", "k": "rate"}
HINT = "q ends; sorted by {}: n name, c CPU, m memory, r restarts, k rates"


@click.command()
@click.argument("network", required=False)
@click.option("--interval", type=click.FloatRange(min=SHORTEST), default=2.0, show_default=True, help="Seconds.")
@click.option("--sort", type=click.Choice(SORTS), default="name", show_default=True, help="What comes first.")
@click.option("--once", is_flag=True, help="Look for one interval, print the table and end.")
@say.json_option
@click.pass_obj
def command(home: Path, network: str | None, interval: float, sort: str, once: bool, as_json: bool) -> None:
    """Watch a network: links with their key rates, QBER, S and buffers; services with CPU and memory; streams.

    On a terminal the table is painted in place; q or Ctrl-C ends it. Elsewhere (and with --json, one object a line)
    a table follows another.

    \b
      qkdbus top three-sites
      qkdbus top three-sites --once --sort memory
      qkdbus top three-sites --json | jq '.links[] | {link, rate_now}'

    \b
      key bit/s  over the last minute; `now`: between this table and the one before
      MB         of memory, shared pages divided by the number of their sharers
      CPU %      of one core
    """
    from .. import nodes
    from ..drivers.choose import driver
    from ..watching.board import board, lines

    name = nodes.choose(home, network)
    samples = driver(home, name, say.progress).samples(name)
    try:
        if once:
            before = next(samples)
            time.sleep(interval)
            found = board(before, next(samples), sort)
            say.answer(_line(found) if as_json else "\n".join(lines(found)))
        elif as_json or not sys.stdout.isatty():
            _roll(samples, interval, sort, as_json)
        else:
            _paint(samples, interval, sort)
    finally:
        close = getattr(samples, "close", None)  # a generator: hands on hosts are let go
        if close is not None:
            close()


def _line(found: Board) -> str:
    return json.dumps(found.plain())


def _roll(samples: Iterator[Sample], interval: float, sort: str, as_json: bool) -> None:
    from ..watching.board import board, lines

    before: Sample | None = None
    while True:
        now = next(samples)
        found = board(before, now, sort)
        say.answer(_line(found) if as_json else "\n".join([*lines(found), ""]))
        before = now
        time.sleep(interval)


def _paint(samples: Iterator[Sample], interval: float, sort: str) -> None:
    from ..watching.board import board, lines
    from ..watching.painter import Painter, Terminated

    painter = Painter(keys=sys.stdin.fileno() if sys.stdin.isatty() else None)
    before: Sample | None = None
    try:
        with painter.screen():
            while True:
                now = next(samples)
                due = time.monotonic() + interval
                while (left := due - time.monotonic()) > 0:
                    painter.paint([*lines(board(before, now, sort)), "", HINT.format(sort)])
                    key = painter.key(left)
                    if key in ("q", "Q", "\x03", "\x04"):
                        return
                    sort = KEYS.get(key, sort)
                before = now
    except KeyboardInterrupt:
        return
    except Terminated:
        raise SystemExit(143) from None
