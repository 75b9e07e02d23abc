"""`qkdbus key`: key streams from the shell (ETSI GS QKD 004)."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say

if TYPE_CHECKING:
    from qkdbus_client import Client, Key

Function = Callable[..., Any]
NEW = "new"  # --trace without a value
_EXIT_NO_KEY = 1
_GOOD = (0, 1)  # 1: this end has its stream, the other has not opened it yet


def _way_in(function: Function) -> Function:
    function = click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")(
        function
    )
    function = click.option(
        "--credential", type=click.Path(path_type=Path), help="Come in as the application of this file."
    )(function)
    return click.option(
        "--trace",
        metavar="[TRACE]",
        is_flag=False,
        flag_value=NEW,
        help="Have every layer log what it does for this: 16 hexadecimal digits, or one made up.",
    )(function)


def _client(home: Path, node: str, network: str | None, credential: Path | None, trace: str | None) -> Client:
    from qkdbus_client import Client

    wish = _trace(trace)
    if credential is not None:
        return Client(node, file=credential, trace=wish)
    from .. import nodes

    return Client(node, network=nodes.choose_by_node(home, node, network), home=home, trace=wish)


def _trace(trace: str | None) -> bytes | None:
    """Return the trace that was asked for, and say on stderr how to read it."""
    if trace is None:
        return None
    from qkdbus.trace import name, new, read

    try:
        octets = new() if trace == NEW else read(trace, watch=False)
    except ValueError as error:
        raise click.UsageError(f"--trace {trace}: {error}") from None
    say.notice(f"trace {name(octets)}: qkdbus logs --trace {name(octets)}")
    return octets


class _Ksid(click.ParamType):  # type: ignore[type-arg]  # generic only in late versions of click
    name = "ksid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> uuid.UUID:
        try:
            return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
        except ValueError:
            self.fail(f"{value!r} is not a KSID: 32 hexadecimal digits, with or without dashes", param, ctx)


KSID = _Ksid()


@click.group()
def command() -> None:
    """Open a key stream, get keys, close it (ETSI GS QKD 004). Both ends have to open it.

    \b
      qkdbus key open Alice app1@Alice app2@Bob
      qkdbus key open Bob app1@Alice app2@Bob --ksid KSID
      qkdbus key get Alice KSID
      qkdbus key close Alice KSID
    """


@command.command(name="open")
@click.argument("node")
@click.argument("source")
@click.argument("destination")
@click.option("--ksid", type=KSID, help="Open this stream (the one that the other end has got).")
@click.option("--chunk-size", "key_chunk_size", type=click.IntRange(min=1), help="Bytes of each key.")
@click.option("--ttl", type=click.IntRange(min=0), help="Seconds that a key lives.")
@click.option("--timeout", type=click.IntRange(min=0), help="Milliseconds that calls on this stream wait.")
@click.option("--max-bps", type=click.IntRange(min=0), help="Key bits a second, at most.")
@click.option("--min-bps", type=click.IntRange(min=0), help="Key bits a second, at least.")
@click.option("--jitter", type=click.IntRange(min=0), help="Bits a second.")
@click.option("--priority", type=click.IntRange(min=0), help="Larger is more urgent.")
@click.option("--metadata-mimetype", help="application/json, or an empty text for no metadata.")
@_way_in
@say.json_option
@click.pass_context
def open_(
    ctx: click.Context,
    /,
    node: str,
    source: str,
    destination: str,
    ksid: uuid.UUID | None,
    network: str | None,
    credential: Path | None,
    trace: str | None,
    as_json: bool,
    **qos: Any,
) -> None:
    """Reserve a key stream between two applications (app@node) and print its KSID."""
    from qkdbus_client import QoS

    with _client(ctx.obj, node, network, credential, trace) as client:
        opened = client.open_connect(source, destination, QoS(**qos), ksid=ksid)
    if as_json:
        agreed = {"qos": asdict(opened.qos), "reason": opened.reason}
        say.data({"status": int(opened.status), "ksid": opened.ksid and str(opened.ksid), **agreed})
    elif opened.status in _GOOD:
        say.answer(str(opened.ksid))
    _end(ctx, int(opened.status), opened.reason)


@command.command()
@click.argument("node")
@click.argument("ksid", type=KSID)
@click.option("--index", type=click.IntRange(min=0), help="This key rather than the next one.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many, one after another.")
@click.option("--metadata-size", type=click.IntRange(min=0), default=0, help="Characters of metadata to ask for.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the bytes to this file (0600).")
@click.option("--hex", "as_hex", is_flag=True, help="Print in hexadecimal: the default without --out.")
@_way_in
@click.pass_context
def get(
    ctx: click.Context,
    node: str,
    ksid: uuid.UUID,
    index: int | None,
    count: int,
    metadata_size: int,
    out: Path | None,
    as_hex: bool,
    network: str | None,
    credential: Path | None,
    trace: str | None,
) -> None:
    """Fetch keys of a stream: in hexadecimal on stdout, a line each, or as bytes to a file.

    Metadata goes to stderr. Ends at the first key that is not given, with its status as the reason.
    """
    if out is not None and as_hex:
        raise click.UsageError("--out and --hex exclude each other")
    sink = _to_file(out) if out is not None else None
    with _client(ctx.obj, node, network, credential, trace) as client:
        for number in range(count):
            got = client.get_key(ksid, None if index is None else index + number, metadata_size=metadata_size)
            if got.status not in _GOOD:
                _end(ctx, int(got.status), got.reason)
            _give(got, sink)


@command.command()
@click.argument("node")
@click.argument("ksid", type=KSID)
@_way_in
@click.pass_context
def close(
    ctx: click.Context, node: str, ksid: uuid.UUID, network: str | None, credential: Path | None, trace: str | None
) -> None:
    """End our side of a key stream."""
    with _client(ctx.obj, node, network, credential, trace) as client:
        closed = client.close(ksid)
    _end(ctx, int(closed.status), closed.reason)


def _to_file(file: Path) -> int:
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(number, 0o600)  # it may have been there, and open to others
    return number


def _give(got: Key, sink: int | None) -> None:
    if sink is not None:
        os.write(sink, got.key)
    else:
        sys.stdout.write(got.key.hex() + "\n")
    if got.metadata:
        say.progress(f"key {got.index}: {dict(got.metadata)}")


def _end(ctx: click.Context, status: int, reason: str) -> None:
    from qkdbus_client import Status

    if status in _GOOD and reason:
        say.notice(reason)
    elif status not in _GOOD:
        say.failure(f"status {status} ({Status(status).name.lower()}){': ' + reason if reason else ''}")
        ctx.exit(_EXIT_NO_KEY)
