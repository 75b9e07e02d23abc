"""Key rate and QBER of a photonic link against the loss of its channel, drawn with matplotlib."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qkdbus.network.presets import PRESETS
from qkdbus.network.system import Point, Preset
from qkdbus.physics.expected import EFFICIENCY, Expected

from .lengths import cutoff_km
from .link_rate import Row, Sweep

CURVE = 200  # points of a curve
BEYOND = 1.03  # how far past the farthest length, or the cut-off, curves are drawn
Curve = list[tuple[float, Expected, Expected]]  # loss, by formula, and for endless blocks


def draw(sweep: Sweep, rows: Sequence[Row], file: Path) -> None:
    """Write a picture of `rows`, of the formulas and of what was reported; its format is that of the file's name.

    Against loss rather than length: published systems had other fibre than the preset's at other lengths.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shape = {"height_ratios": (3, 1), "hspace": 0.06}
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 7), gridspec_kw=shape)
    curve = _curve(sweep, rows)
    _draw_rates(above, sweep, rows, curve)
    _draw_reported(above, PRESETS[sweep.preset])
    _draw_qber(below, rows, curve)
    _draw_lengths(above, PRESETS[sweep.preset])
    above.legend(fontsize=8)
    above.set_title(f"{sweep.preset}, {sweep.protocol}, blocks of {sweep.block:,} sifted bits", fontsize=10)
    figure.savefig(file, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def _curve(sweep: Sweep, rows: Sequence[Row]) -> Curve:
    """Return what the formulas give, with the f that was measured."""
    measured = [row.efficiency for row in rows if row.efficiency]
    efficiency = statistics.median(measured) if measured else EFFICIENCY
    last = max(cutoff_km(sweep, endless=True), *(row.length_km for row in rows))
    lengths = np.linspace(min(row.length_km for row in rows), BEYOND * last, CURVE).tolist()
    return [
        (sweep.loss_db(km), sweep.formula(km, efficiency), sweep.formula(km, efficiency, endless=True))
        for km in lengths
    ]


def _draw_rates(axes: Any, sweep: Sweep, rows: Sequence[Row], curve: Curve) -> None:
    loss = [at for at, _, _ in curve]
    axes.plot(loss, [_shown(endless) for _, _, endless in curve], "--", color="0.5", label="formula, endless blocks")
    if sweep.security == "finite":
        axes.plot(loss, [_shown(finite) for _, finite, _ in curve], "-", color="C0", label="formula, finite blocks")
    with_key = [row for row in rows if row.key_hz]
    where, rates = [row.loss_db for row in with_key], [row.key_hz for row in with_key]
    axes.errorbar(where, rates, [row.key_error for row in with_key], fmt="o", color="C1", label="run end to end")
    none = [row.loss_db for row in rows if not row.key_hz]
    if none:
        axes.plot(none, [0.02] * len(none), "x", color="C1", transform=axes.get_xaxis_transform(), label="run, no key")
    axes.set(yscale="log", ylabel="secret key, bit per s of link time")
    axes.grid(alpha=0.3)


def _draw_reported(axes: Any, preset: Preset) -> None:
    """Full where the figure is in the abstract of the source, hollow where it was not confirmed."""
    for published, face in ((True, "k"), (False, "none")):
        points = [p for p in preset.points if p.what == "secret bits/s" and (p.origin == "published") == published]
        if points:
            name = "reported" if published else "reported, unconfirmed"
            where = [_loss(preset, point) for point in points]
            axes.plot(where, [p.rate for p in points], "k*", markersize=10, markerfacecolor=face, label=name)


def _draw_qber(axes: Any, rows: Sequence[Row], curve: Curve) -> None:
    axes.plot([loss for loss, _, _ in curve], [100 * endless.qber for _, _, endless in curve], "-", color="C0")
    seen = [row for row in rows if row.sifted]
    axes.plot([row.loss_db for row in seen], [100 * row.qber for row in seen], "o", color="C1")
    axes.set(ylabel="QBER, %", xlabel="loss of the channel, dB", ylim=(0, None))
    axes.grid(alpha=0.3)


def _draw_lengths(axes: Any, preset: Preset) -> None:
    """Say on the upper edge how long a fibre of the preset has that loss."""
    slope = preset.db_per_km
    if slope:
        other = axes.secondary_xaxis("top", functions=(lambda loss: loss / slope, lambda km: km * slope))
        other.set_xlabel(f"km of fibre with {slope:.3g} dB/km", fontsize=8)


def _loss(preset: Preset, point: Point) -> float:
    if point.loss_db is not None:
        return point.loss_db
    return preset.loss_db if point.length_km is None else preset.loss_at(point.length_km)


def _shown(found: Expected) -> float:
    """Return the rate, as no number where there is no key: on a logarithmic axis the curve ends there."""
    return found.secret_hz or float("nan")
