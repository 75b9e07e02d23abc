"""`qkdbus conform`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qkdbus.errors import Refused

from . import say

if TYPE_CHECKING:
    from qkdbus.conformance import Layer, Result


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("layer")
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="[ENDPOINT | -- COMMAND...]")
@click.option("--list", "listing", is_flag=True, help="Show the checks of the layer, and make none.")
@click.option("--only", multiple=True, metavar="CHECK", help="Make this check only; may be given several times.")
@click.option(
    "--next-door",
    metavar="COMMAND",
    help="What runs at the other node of the link, as one word in quotes; `built-in` is ours. Default: the same.",
)
@click.option(
    "--network",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the settings of the link from this network file, where it is the first one.",
)
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="DIR", help="Keep nodes' folders and logs, in a new DIR."
)
@click.option(
    "--credential",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check the key manager at the door of this file, and come in with its keys (of `qkdbus client add`).",
)
@say.json_option
@click.pass_context
def command(
    ctx: click.Context,
    layer: str,
    program: tuple[str, ...],
    listing: bool,
    only: tuple[str, ...],
    next_door: str | None,
    file: Path | None,
    keep: Path | None,
    credential: Path | None,
    as_json: bool,
) -> None:
    """Check whether a program keeps the contract of a LAYER: keymanager, keysync, dispatcher, qbackend, emulator.

    With a COMMAND, it is run as a node would run it (the node's folder is its last argument; a qbackend also gets
    --replica 0), on a stage of its own: two nodes, Alice and Bob, where the contract has two ends; stand-ins for the
    layers above and below; real sockets. It is killed and started again, given malformed messages, and asked for what
    the contract promises. Nothing of it touches networks that are deployed. Without a COMMAND our own layer is checked.

    With an ENDPOINT (ipc:// or tcp://) or a --credential, a process that runs already is checked, as far as that can
    be done without changing it or what is around it; the other checks are said to be left out.

    Each check says what must hold and where that is written. The exit code is 1 when something does not hold.

    \b
      qkdbus conform keysync --list
      qkdbus conform dispatcher -- node my_dispatcher.js
      qkdbus conform qbackend --next-door built-in -- python -m mylab_qbackend
      qkdbus conform keysync --only chunks-are-equal-at-both-ends -- ./my_keysync
      qkdbus conform keymanager ipc:///home/me/.qkdbus/three-sites/Alice/run/keymanager
      qkdbus conform keymanager --credential Alice.app1.json
    """
    from qkdbus import conformance
    from qkdbus.conformance.perform import chosen

    if layer not in conformance.CONFORMING:
        raise Refused(f"no layer {layer!r}; there are {', '.join(conformance.CONFORMING)}")
    about = conformance.of(layer)
    checks = chosen(about, only)
    if listing:
        _list(about, checks, as_json)
        return
    results = _Tell(quiet=as_json)
    if credential is not None or (len(program) == 1 and "://" in program[0]):
        found, subject = _at_endpoint(about, program, credential, results, only)
    else:
        found, subject = _on_stage(about, program, next_door, file, keep, results, only)
    broken = sum(result.verdict == "broken" for result in found)
    left_out = sum(result.verdict == "left out" for result in found)
    if as_json:
        said = {"layer": layer, "subject": subject, "broken": broken, "left_out": left_out}
        say.data({**said, "holds": len(found) - broken - left_out, "checks": [_plain(result) for result in found]})
    else:
        say.answer(f"\n{len(found) - broken - left_out} hold, {broken} do not, {left_out} left out")
    if broken:
        ctx.exit(1)


def _on_stage(
    about: Layer,
    program: Sequence[str],
    next_door: str | None,
    file: Path | None,
    keep: Path | None,
    tell: _Tell,
    only: Sequence[str],
) -> tuple[list[Result], str]:
    from qkdbus.conformance.perform import on_stage

    from .. import conforming

    commands = [conforming.words(about.name, program)]
    if next_door is not None:
        commands.append(conforming.words(about.name, [next_door]))
    network = conforming.like(about.network, file) if file else about.network
    with conforming.ground(network, keep) as ground:
        found = _run(on_stage(about, ground, commands, tell, only))
    return found, " ".join(commands[0])


def _at_endpoint(
    about: Layer, program: Sequence[str], credential: Path | None, tell: _Tell, only: Sequence[str]
) -> tuple[list[Result], str]:
    from qkdbus.bus.curve import KeyPair
    from qkdbus.conformance.perform import at_endpoint
    from qkdbus_client.access import sole

    if credential is None:
        pair, server_key, [endpoint] = None, "", program
    else:
        if about.name != "keymanager" or program:
            raise Refused(
                "a credential is for the door of a key manager: `qkdbus conform keymanager --credential FILE`"
            )
        keys = sole(credential)
        pair, server_key, endpoint = KeyPair(keys.public_key, keys.secret_key), keys.server_key, keys.endpoint
    if not endpoint.startswith(("ipc://", "tcp://")):
        raise Refused(f"{endpoint}: an endpoint begins with ipc:// or tcp://")
    return _run(at_endpoint(about, endpoint, tell, only, pair=pair, server_key=server_key)), endpoint


def _run(checks: Coroutine[Any, Any, list[Result]]) -> list[Result]:
    """Run to the end; SIGTERM and SIGHUP end it like Ctrl-C, so that no process is left behind."""

    async def run() -> list[Result]:
        task = asyncio.ensure_future(checks)
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


class _Tell:
    """Shows each result as it comes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, result: Result) -> None:
        if self._quiet:
            return
        check = result.check
        say.answer(f"{'BROKEN' if result.verdict == 'broken' else result.verdict:<9} {check.name}")
        if result.verdict == "broken":
            for head, text in (("must", check.must), ("expected", result.expected), ("came", result.came)):
                say.answer(f"{'':<10}{head:<9} {text}")
            say.answer(f"{'':<10}{'see':<9} {check.source}")
        elif result.verdict == "left out":
            say.answer(f"{'':<10}{result.came}")


def _list(about: Layer, checks: Sequence[Any], as_json: bool) -> None:
    if as_json:
        rows = [
            {"name": one.name, "must": one.must, "source": one.source, "endpoint_is_enough": one.alone}
            for one in checks
        ]
        say.data({"layer": about.name, "checks": rows})
        return
    for one in checks:
        say.answer(f"{one.name}{' *' if one.alone else ''}\n    {one.must}\n    ({one.source})")
    say.answer(f"\n{len(checks)} checks; * an ENDPOINT is enough")


def _plain(result: Result) -> dict[str, str]:
    check = result.check
    plain = {"name": check.name, "verdict": result.verdict, "must": check.must, "source": check.source}
    return plain | {name: text for name in ("expected", "came") if (text := getattr(result, name))}
