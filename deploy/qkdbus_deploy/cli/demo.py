"""`qkdbus demo`: the paper's functional validation, for real, on this machine."""

from __future__ import annotations

import time

import click

from . import say


@click.command()
@click.option("--keys", type=click.IntRange(1), default=20, show_default=True, help="Keys per stream.")
@click.option("--bits", type=click.IntRange(8), default=256, show_default=True, help="Bits per key (a multiple of 8).")
@say.json_option
@click.pass_context
def command(ctx: click.Context, keys: int, bits: int, as_json: bool) -> None:
    """Run a network of three sites on this machine and compare keys at both ends.

    Alice - Bob - Charlie, one key stream Alice-Bob and one Bob-Charlie. Pairs are created and measured in SimulaQron;
    every key is fetched at both ends through ETSI GS QKD 004 and compared. Everything is removed at the end, also
    after Ctrl-C. Exit code 0: every pair of keys was equal, and nothing is left running.
    """
    from importlib.resources import as_file, files

    from qkdbus.network.load import load

    from ..sandbox import sandbox
    from ..trial import Wish, try_streams
    from .streams import Progress, tell

    if bits % 8:
        raise click.BadParameter("keys are whole octets: a multiple of 8", param_hint="--bits")
    with as_file(files("qkdbus_deploy") / "templates" / "network.yaml") as file:
        network = load(file).model_copy(update={"name": "demo"})
    say.progress("three sites on this machine: Alice - Bob - Charlie, pairs in SimulaQron")
    began = time.monotonic()
    with sandbox(network, say.progress) as box:
        say.progress(f"{say.count(box.deployed.services, 'service')} ready in {box.deployed.seconds:.1f} s")
        wishes = [Wish("Alice", "Bob", keys, bits // 8), Wish("Bob", "Charlie", keys, bits // 8)]
        results = try_streams(box.home, box.name, wishes, Progress())
        say.progress("tearing down")
    tell(results, as_json)
    good = all(result.good for result in results)
    if not as_json:
        fate = "every key equal at both ends" if good else "NOT all keys arrived equal"
        say.answer(f"{fate}; nothing is left running; {time.monotonic() - began:.1f} s in all")
    ctx.exit(0 if good else 1)
