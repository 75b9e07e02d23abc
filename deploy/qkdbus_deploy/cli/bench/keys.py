"""`qkdbus bench keys`: keys on the links of a network that runs."""

from __future__ import annotations

import click

from .. import say


@click.command("keys")
@click.argument("network", required=False)
@click.option("--keys", type=click.IntRange(1), default=20, show_default=True, help="Keys on each link.")
@click.option("--bits", type=click.IntRange(8), default=256, show_default=True, help="Bits per key (a multiple of 8).")
@click.option("--link", "links", multiple=True, metavar="ALICE-BOB", help="Only this link; may be said again.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds to wait for a key."
)
@say.json_option
@click.pass_context
def command(
    ctx: click.Context,
    network: str | None,
    keys: int,
    bits: int,
    links: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> None:
    """Fetch keys at both ends of every link of a network at once, compare them, and say how fast they come.

    The network may be on this machine or elsewhere. Exit code 0: every key arrived at both ends, and was equal there.

    \b
      qkdbus bench keys
      qkdbus bench keys ring --keys 100 --link A-B --link B-C
    """
    from ... import nodes
    from ...trial import Wish, try_streams
    from ..streams import Progress, tell

    if bits % 8:
        raise click.BadParameter("keys are whole octets: a multiple of 8", param_hint="--bits")
    name = nodes.choose(ctx.obj, network)
    found = nodes.links(ctx.obj / name)
    wanted = found
    if links:
        known = {f"{a}-{b}": (a, b) for one, other in found for a, b in ((one, other), (other, one))}
        if unknown := [link for link in links if link not in known]:
            raise click.BadParameter(nodes.unknown("link", unknown[0], sorted(known), name), param_hint="--link")
        wanted = [known[link] for link in links]
    wishes = [Wish(one, other, keys, bits // 8, timeout) for one, other in wanted]
    results = try_streams(ctx.obj, name, wishes, Progress())
    tell(results, as_json)
    ctx.exit(0 if all(result.good for result in results) else 1)
