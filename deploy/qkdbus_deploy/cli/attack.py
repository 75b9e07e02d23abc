"""`qkdbus attack`: an eavesdropper comes into a link's quantum channel, and leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import say

if TYPE_CHECKING:
    from qkdbus.network.photonic import Eavesdropper

    from ..attack import Channel

SHARE = click.FloatRange(0, 1)


class _Angles(click.ParamType):  # type: ignore[type-arg]  # generic only in late versions of click
    name = "angles"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            angles = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            angles = ()
        if not angles or not all(-180 <= angle <= 180 for angle in angles):
            self.fail(f"{value!r} are no angles: write degrees with commas between, such as 0,45", param, ctx)
        return angles


@click.command()
@click.argument("one", metavar="ALICE")
@click.argument("other", metavar="BOB")
@click.option("--intercept-resend", type=SHARE, metavar="R", help="Measure this share of the signals, and send on.")
@click.option("--bases", type=_Angles(), help="Her bases: polariser angles in degrees.  [default: 0,45]")
@click.option("--photon-number-splitting", type=SHARE, metavar="S", help="Keep one photon of several in this share.")
@click.option("--beam-splitting", type=SHARE, metavar="S", help="This share of the channel's loss is hers.")
@click.option("--jam", type=SHARE, metavar="S", help="Replace this share of the signals by random ones.")
@click.option("--cut", is_flag=True, help="Let nothing pass.")
@click.option("--off", is_flag=True, help="Leave: nobody is in the channel.")
@click.option("--network", metavar="NETWORK", help="Which network, when several have such a node.")
@say.json_option
@click.pass_obj
def command(
    home: Path,
    /,
    one: str,
    other: str,
    bases: tuple[float, ...] | None,
    off: bool,
    network: str | None,
    as_json: bool,
    **shares: float | bool | None,
) -> None:
    """Put an eavesdropper into the quantum channel between two neighbours, while it runs; ask who is there.

    Each call says all that she does from now on. She stays, also when processes die, until --off or until the network
    file says something else about that link. The order of the two names does not matter.

    \b
      qkdbus attack Alice Bob --intercept-resend 0.6
      qkdbus status                          the QBER rises; above 0.11 the link is in alarm and gives no key
      qkdbus attack Alice Bob                who is there?
      qkdbus attack Alice Bob --off          keys flow again

    \b
    What to expect:
      --intercept-resend R   she measures a photon in one of her bases and sends on what she found. With 0 and 45
                             degrees: QBER R/4 (bb84, bbm92), R/3 (e91-same-bases); S falls by R times a half (e91).
                             In her only basis, such as --bases 0, she is not seen; in the other one doubly.
      --jam S                QBER S/2, S falls by the share S
      --photon-number-splitting S, --beam-splitting S
                             only where pulses are weak laser light: no errors, but decoys show the first
      --cut                  nothing arrives, and no key is formed
    """
    eve = _eavesdropper(bases, off, shares)
    from .. import nodes
    from ..drivers.choose import driver

    name = nodes.choose_by_node(home, one, network)
    found = driver(home, name).attack(name, one, other, eve)
    if as_json:
        say.data(_plain(found))
    else:
        _tell(found, asked=eve is None)


def _eavesdropper(
    bases: tuple[float, ...] | None, off: bool, shares: dict[str, float | bool | None]
) -> Eavesdropper | None:
    """Return what is asked for; None when nothing is to change."""
    given = {field: value for field, value in shares.items() if value}
    if off and (given or bases):
        raise click.UsageError("say --off alone, or an attack")
    if bases and "intercept_resend" not in given:
        raise click.UsageError("--bases are those of --intercept-resend")
    if not off and not any(value is not None and value is not False for value in shares.values()):
        return None
    from qkdbus.network.photonic import Eavesdropper

    return Eavesdropper.model_validate({**given, "bases": bases or ()})


def _tell(found: Channel, *, asked: bool) -> None:
    from ..attack import described, expect

    link = " - ".join(found.between)
    say.answer(f"{link}: {described(found.eve)}")
    for line in expect(found.link, found.eve):
        say.answer(f"  expect: {line}")
    if found.eve == found.in_file:
        if found.eve.there:
            say.notice("she is in the network file")
    elif found.in_file.there:
        say.notice(
            f"the network file has {described(found.in_file)}; what was said here goes before it until it changes"
        )


def _plain(found: Channel) -> dict[str, Any]:
    return {
        "network": found.network,
        "between": list(found.between),
        "emulator": found.link.emulator,
        "protocol": found.link.protocol,
        "there": found.eve.there,
        "eve": found.eve.model_dump(mode="json"),
        "in_file": found.in_file.model_dump(mode="json"),
    }
