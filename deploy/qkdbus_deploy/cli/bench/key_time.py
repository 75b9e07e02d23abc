"""`qkdbus bench key-time`: how long a key takes over SimulaQron."""

from __future__ import annotations

import click

from .. import say

HEADINGS = (
    "mode",
    "key bits",
    "keys",
    "equal",
    "s/key",
    "key bit/s",
    "pairs/key",
    "discarded/key",
    "QBER",
    "x ancestor",
)
FIELDS = (
    "mode",
    "key_bits",
    "keys",
    "equal",
    "seconds_per_key",
    "bits_per_second",
    "pairs_per_key",
    "discarded_per_key",
    "qber",
    "times_ancestor",
)


@click.command("key-time")
@click.option("--keys", type=click.IntRange(1), default=20, show_default=True, help="Keys of each size.")
@click.option("--sizes", default="64,128,256,512", show_default=True, metavar="BITS,...", help="Key sizes in bits.")
@click.option("--mode", type=click.Choice(["both", "one-block", "batched"]), default="both", show_default=True)
@click.option("--protocol", type=click.Choice(["e91-same-bases", "bbm92"]), default="e91-same-bases", show_default=True)
@say.json_option
@click.pass_context
def command(ctx: click.Context, keys: int, sizes: str, mode: str, protocol: str, as_json: bool) -> None:
    """Time per key over SimulaQron between two neighbours (the paper's section 5.3).

    Once with one block per key, as the ancestor forms them (20 s per 64-bit key, 2 min per 512-bit key), once batched.
    Discarded pairs are those that both ends measured in different bases.
    """
    from ...key_time import MODES, key_time

    try:
        wanted = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise click.BadParameter("whole numbers, separated by commas", param_hint="--sizes") from None
    if any(size < 8 or size % 8 for size in wanted):
        raise click.BadParameter("keys are whole octets: multiples of 8", param_hint="--sizes")
    modes = {"both": MODES, "one-block": MODES[:1], "batched": MODES[1:]}[mode]
    rows = [timing.row() for timing in key_time(keys, wanted, modes, protocol, say.progress)]
    if as_json:
        say.data(rows)
    else:
        say.table(HEADINGS, [[row[name] for name in FIELDS] for row in rows])
    for row in rows:
        if row["trouble"]:
            say.failure(f"{row['mode']}, {row['key_bits']} bits: {row['trouble']}")
    ctx.exit(0 if all(row["equal"] == row["keys"] for row in rows) else 1)
