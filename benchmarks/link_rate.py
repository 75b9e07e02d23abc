"""Key rate and QBER against distance for every preset, run end to end beside formulas and reported points.

What `qkdbus bench link --preset NAME --plot FILE` shows, for all of them; gys-2004 in the asymptotic sense too, which
is how its curve is known.

    python -m benchmarks.link_rate [--blocks 3] [--presets gys-2004,li-2023]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from qkdbus.network.presets import PRESETS
from qkdbus.physics.expected import EFFICIENCY
from qkdbus_deploy.lengths import cutoff_km, lengths
from qkdbus_deploy.link_plot import draw
from qkdbus_deploy.link_rate import Row, Sweep, link_rate

from . import report

HEADS = ("km", "loss dB", "key bit/s", "+-", "formula", "run / formula", "endless blocks", "QBER", "formula", "f",
         "blocks with key")  # fmt: skip


def sweeps(names: Sequence[str], blocks: int) -> list[Sweep]:
    """Return what is measured."""
    found = []
    for name in names:
        preset = PRESETS[name]
        senses = ("asymptotic", "finite") if name == "gys-2004" else ("finite",)
        found += [Sweep(name, preset.protocol, sense, preset.block, blocks) for sense in senses]  # type: ignore[arg-type]
    return found


def section(sweep: Sweep, rows: Sequence[Row], picture: str) -> str:
    """Return the results of one sweep as Markdown."""
    preset = PRESETS[sweep.preset]
    cells = [
        (f"{r.length_km:g}", f"{r.loss_db:.1f}", r.key_hz, f"{r.key_error / r.key_hz:.1%}" if r.key_hz else "",
         r.formula.secret_hz, f"{r.key_hz / r.formula.secret_hz:.3f}" if r.key_hz and r.formula.secret_hz else "",
         r.endless.secret_hz, f"{r.qber:.2%}", f"{r.formula.qber:.2%}", f"{r.efficiency:.3f}",
         f"{r.with_key} of {r.exchanges}")
        for r in rows
    ]  # fmt: skip
    why = "".join(f"\n- {r.length_km:g} km: {r.why}" for r in rows if r.why)
    none = f"\n\nBlocks that gave no key:\n{why}" if why else ""
    return f"""## {sweep.preset}, {sweep.protocol}, {sweep.security}

{preset.title[0].upper()}{preset.title[1:]}. {preset.source}. Blocks of {sweep.block:,} sifted bits.

By formula (f = {EFFICIENCY}) the last key is at {cutoff_km(sweep):.1f} km.

{report.table(HEADS, cells)}{none}

![{sweep.preset}]({picture})
"""


def main() -> None:
    """Measure, write docs/link-rate.md and its plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--presets", default=",".join(PRESETS))
    asked = parser.parse_args()
    where = report.machine()
    parts, data = [INTRODUCTION], []
    for sweep in sweeps(asked.presets.split(","), asked.blocks):
        report.say(f"== {sweep.preset}, {sweep.security}")
        rows = list(link_rate(sweep, lengths(sweep), report.say))
        picture = f"link-rate-{sweep.preset}{'-asymptotic' if sweep.security == 'asymptotic' else ''}.png"
        draw(sweep, rows, report.DOCS / picture)
        parts.append(section(sweep, rows, picture))
        data.append({**asdict(sweep), "rows": [asdict(row) for row in rows]})
        command = "python -m benchmarks.link_rate"
        report.write("link-rate", "Key rate against distance", command, "\n".join(parts), data, where)


INTRODUCTION = """Every point is a network of two nodes with a photonic link, run end to end: pulses or pairs, sifting,
Cascade, verification, privacy amplification, authentication, keys fetched and compared at both ends. Rates are per
second of the link's own clock, so the machine's load does not change them; `+-` is the standard error over the blocks,
itself uncertain where they are few. `formula` knows the block's length and the f that was measured (not the bits that
authentication takes); `endless blocks` is without finite-size terms. Stars in the plots are reported figures, hollow
where they were not confirmed; which of the presets' figures are assumed or fitted is in [photonic.md](photonic.md).
"""

if __name__ == "__main__":
    main()
