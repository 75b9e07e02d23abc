"""`qkdbus bench link`: secret key rate and QBER of a photonic link against its length."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from .. import say
from ..light import rate

if TYPE_CHECKING:
    from qkdbus.network.model import Protocol, Sense
    from qkdbus.network.system import Preset

    from ...link_rate import Row, Sweep

HEADINGS = ("km", "loss dB", "key", "+-", "formula", "endless", "QBER", "formula", "phase", "f", "link s", "sent",
            "sifted", "blocks", "keys equal")  # fmt: skip
PROTOCOLS = ("bb84-decoy", "bb84-one-decoy", "bbm92", "e91", "e91-same-bases")


@click.command("link")
@click.option("--preset", metavar="NAME", help="A published system (`qkdbus validate --presets`) [default: yuan-2018].")
@click.option("--protocol", type=click.Choice(PROTOCOLS), help="Default: the preset's.")
@click.option("--distances", default="auto", show_default=True, metavar="KM,...", help="auto: up to the cut-off.")
@click.option("--blocks", type=click.IntRange(1), default=3, show_default=True, help="Blocks at each distance.")
@click.option("--block", type=click.IntRange(1024, 1 << 24), metavar="BITS", help="Sifted bits of one [the preset's].")
@click.option("--security", type=click.Choice(["finite", "asymptotic"]), default="finite", show_default=True)
@click.option("--plot", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Draw it (PNG, PDF, SVG).")
@say.json_option
@click.pass_context
def command(
    ctx: click.Context,
    preset: str | None,
    protocol: str | None,
    distances: str,
    blocks: int,
    block: int | None,
    security: str,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Secret key rate and QBER of a photonic link against its length.

    At each distance a network of two nodes runs on this machine, end to end: pulses or pairs, sifting, error
    correction, privacy amplification, keys fetched and compared at both ends. Beside it stands what the formulas give
    with the error correction efficiency f that was measured: for blocks of this length, and for endless ones; below,
    what was reported of the published system. Rates are per s of the link's own clock. Where even endless blocks would
    give no key, one small block is tried.

    \b
      qkdbus bench link --preset gys-2004 --distances 0,50,100
      qkdbus bench link --preset li-2023 --plot li.png
      qkdbus bench link --protocol e91 --preset wengerowsky-2019 --security asymptotic
    """
    sweep, system = _sweep(preset, protocol, blocks, block, security)
    if plot is not None:
        _need_matplotlib()
    wanted = _distances(distances, sweep)
    from ...link_rate import link_rate

    rows: list[Row] = []
    try:
        rows.extend(link_rate(sweep, wanted, say.progress))
    finally:  # what was measured until somebody lost patience is worth showing
        if rows:
            say.data(_plain(sweep, system, rows)) if as_json else _tell(sweep, system, rows)
    if plot is not None:
        from ...link_plot import draw

        draw(sweep, rows, plot)
        say.progress(f"{plot} is drawn")
    ctx.exit(1 if any(row.trouble for row in rows) else 0)


def _sweep(
    name: str | None, protocol: str | None, blocks: int, block: int | None, security: str
) -> tuple[Sweep, Preset]:
    from qkdbus.network.photonic import DEFAULT_PAIRS, DEFAULT_PULSES, PULSES
    from qkdbus.network.presets import PRESETS

    from ...link_rate import Sweep

    chosen = name or (DEFAULT_PULSES if protocol is None or protocol in PULSES else DEFAULT_PAIRS)
    if chosen not in PRESETS:
        raise click.BadParameter(f"there is no {chosen!r}, there is: {', '.join(PRESETS)}", param_hint="--preset")
    preset = PRESETS[chosen]
    if protocol is not None and (protocol in PULSES) != (preset.protocol in PULSES):
        has, needs = ("weak pulses", "pairs") if preset.protocol in PULSES else ("pairs", "weak pulses")
        raise click.BadParameter(
            f"{chosen} is a source of {has}, and {protocol} needs {needs}", param_hint="--protocol"
        )
    runs = cast("Protocol", protocol or preset.protocol)
    return Sweep(chosen, runs, cast("Sense", security), block or preset.block, blocks), preset


def _distances(text: str, sweep: Sweep) -> list[float]:
    from ...lengths import FARTHEST, lengths

    if text == "auto":
        return lengths(sweep)
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter("km, separated by commas, or auto", param_hint="--distances") from None
    if any(not 0 <= km <= FARTHEST for km in found):
        raise click.BadParameter(f"from 0 to {FARTHEST:g} km", param_hint="--distances")
    return found


def _need_matplotlib() -> None:
    """Say before anything runs that it cannot be drawn."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise click.UsageError("--plot needs matplotlib: pip install 'qkdbus[plot]'")


def _plain(sweep: Sweep, preset: Preset, rows: list[Row]) -> dict[str, Any]:
    return {
        **asdict(sweep),
        "source": preset.source,
        "assumed": preset.assumed,
        "rows": [asdict(row) for row in rows],
        "reported": [asdict(point) for point in preset.points],
    }


def _tell(sweep: Sweep, preset: Preset, rows: list[Row]) -> None:
    say.answer(f"{preset.name}, {sweep.protocol}, blocks of {sweep.block} sifted bits, {sweep.security} security\n")
    say.table(HEADINGS, [_cells(row) for row in rows])
    for row in rows:
        if row.why and not row.with_key:
            say.answer(f"\n{row.length_km:g} km: no key: {row.why}")
        elif row.why:
            say.answer(f"\n{row.length_km:g} km: {row.exchanges - row.with_key} of {row.exchanges} blocks: {row.why}")
        if row.trouble:
            say.failure(f"{row.length_km:g} km: {row.trouble}")
    say.answer(f"\nReported ({preset.source}):")
    for point in preset.points:
        say.answer(f"  {_point(point)}")


def _cells(row: Row) -> list[object]:
    return [
        f"{row.length_km:g}",
        f"{row.loss_db:.1f}",
        rate(row.key_hz),
        f"{row.key_error / row.key_hz:.1%}" if row.key_hz and row.key_error else "-",
        rate(row.formula.secret_hz),
        rate(row.endless.secret_hz),
        f"{row.qber:.2%}" if row.sifted else "-",
        f"{row.formula.qber:.2%}",
        f"{row.phase_error:.2%}" if row.with_key else "-",
        f"{row.efficiency:.3f}" if row.efficiency else "-",
        f"{row.link_s:.3g}",
        f"{row.sent:.3g}",
        row.sifted,
        f"{row.with_key}/{row.exchanges}",
        row.keys_equal,
    ]


def _point(point: Any) -> str:
    where = " ".join(
        part
        for part in (
            f"{point.length_km:g} km" if point.length_km is not None else "",
            f"({point.loss_db:g} dB)" if point.loss_db is not None else "",
        )
        if part
    )
    what = {"secret bits/s": rate(point.rate or 0.0), "pairs/s": f"{point.rate:g} pairs/s" if point.rate else ""}
    return f"{where or 'all of it'}: {what.get(point.what, 'as far as it reached')} ({point.origin})"
