"""Secret key a second through the whole stack over photonic links, both ends on this machine's cores.

1. By QBER: two nodes, a fast link whose clock goes as fast as it can, an application in a process of its own at each
   end that fetches keys in bulk and keeps a digest of all of them. In the same run the kernels alone
   (`photonic_kernels.py`): how much of the machine goes into physics and distillation, how much into all the rest.
2. Each preset at its published distance: seconds of link time a second, 1 is real time.

    python -m benchmarks.photonic_stack [--seconds 25] [--block 16777216] [--qbers 0.0035,0.02] [--no-presets]
"""

from __future__ import annotations

import argparse
from typing import Any

from qkdbus.network.model import LinkSettings, Protocol, Sense
from qkdbus.network.photonic import AS_FAST_AS_POSSIBLE, Fibre, Photonic, Receiver
from qkdbus.network.presets import PRESETS
from qkdbus.physics.expected import Terms, expected
from qkdbus.physics.setup import PulseSetup

from . import photonic_kernels, report
from .photonic_run import Found, run

PROTOCOL: Protocol = "bb84-decoy"
PRESET = "yuan-2018"
QBERS = (0.0035, 0.01, 0.02, 0.05, 0.10)
PAIRS: tuple[tuple[float, Sense], ...] = ((0.02, "finite"), (0.10, "asymptotic"))  # QBER, sense of "secret"
BLOCK, PAIR_BLOCK = 1 << 24, 1 << 21
JOBS = 4
WARM, SECONDS, PRESET_SECONDS = 8.0, 25.0, 15.0
KERNEL_ROUNDS = 3


def link_for(qber: float, block: int) -> LinkSettings:
    """Return the fast link with this QBER. No dead time, whose own effect on neighbouring clicks would blur it."""
    receiver = Receiver(misalignment=qber, dead_time_ns=0)
    photonic = Photonic(preset=PRESET, receiver=receiver, clock=AS_FAST_AS_POSSIBLE, block=block)
    return LinkSettings(emulator="photonic", protocol=PROTOCOL, photonic=photonic, jobs=JOBS, qber_abort=0.2)


def setup_for(qber: float) -> PulseSetup:
    """Return what stands on the bench of that link."""
    setup = link_for(qber, BLOCK).photonic.setup(PROTOCOL)
    assert isinstance(setup, PulseSetup)
    return setup


def pairs_for(qber: float, sense: Sense) -> LinkSettings:
    """Return a link with pairs, one end at the source, no dark counts and hardly any accidental coincidences."""
    photonic = Photonic(
        preset="wengerowsky-2019",
        fibre=Fibre(loss_db=0),
        receiver=Receiver(visibility=1 - 2 * qber, dark_rate_hz=0, window_ns=0.001),
        clock=AS_FAST_AS_POSSIBLE,
        block=PAIR_BLOCK,
    )
    return LinkSettings(
        emulator="photonic", protocol="bbm92", photonic=photonic, jobs=JOBS, qber_abort=0.2, security=sense
    )


def by_qber(qber: float, block: int, seconds: float) -> dict[str, Any]:
    """Measure one QBER with pulses: kernels alone, then the stack."""
    report.say(f"QBER {qber:.2%}: kernels alone")
    alone = photonic_kernels.best(setup_for(qber), PROTOCOL, block, KERNEL_ROUNDS)
    report.say(f"QBER {qber:.2%}: whole stack")
    found = run(link_for(qber, block), WARM, seconds)
    ceiling = found.cores * alone.kept / alone.cpu_s
    return _told(
        found,
        protocol=PROTOCOL,
        security="finite",
        kernels_ns_per_bit={name: 1e9 * taken / alone.kept for name, taken in alone.stages.items()},
        kernels_sifted_bps=ceiling,
        kernels_secret_bps=found.cores * alone.length / alone.cpu_s,
        ratio=found.sifted_bps / ceiling,
        ratio_per_core=found.sifted_bps / found.taken * found.cores / ceiling,
    )


def with_pairs(qber: float, sense: Sense, seconds: float) -> dict[str, Any]:
    """Measure one QBER with pairs: the stack."""
    report.say(f"QBER {qber:.2%}, pairs: whole stack")
    return _told(run(pairs_for(qber, sense), WARM, seconds), protocol="bbm92", security=sense)


def _told(found: Found, **more: object) -> dict[str, Any]:
    report.say(f"  secret {found.secret_bps / 1e6:.2f} Mb/s, sifted {found.sifted_bps / 1e6:.2f} Mb/s, CPU {found.cpu}")
    return {**found.plain(), **more}


def presets(seconds: float) -> list[dict[str, Any]]:
    """Measure how far each preset is from real time."""
    rows = []
    for preset in PRESETS.values():
        photonic = Photonic(
            preset=preset.name, fibre=Fibre(loss_db=preset.loss_db), clock=AS_FAST_AS_POSSIBLE, block=preset.block
        )
        link = LinkSettings(emulator="photonic", protocol=preset.protocol, photonic=photonic, jobs=JOBS)  # type: ignore[arg-type]
        terms = Terms(disclose=link.disclose, block=preset.block, epsilon=link.epsilon)
        wanted = expected(preset.setup, preset.protocol, terms)
        report.say(f"{preset.name}: {wanted.sifted_hz:.3g} sifted bit/s in real time")
        found = run(link, WARM, seconds)
        rows.append(
            {
                "preset": preset.name,
                "protocol": preset.protocol,
                "length_km": preset.length_km,
                "loss_db": preset.loss_db,
                "qber": wanted.qber,
                "sifted_hz": wanted.sifted_hz,
                "secret_hz": wanted.secret_hz,
                **found.plain(),
            }
        )
        report.say(f"  {found.speed:.3g} times real time")
    return rows


def page(results: list[dict[str, Any]], systems: list[dict[str, Any]], block: int) -> str:
    """Return the results as Markdown."""
    rates = report.table(
        ("protocol", "QBER", "secret Mb/s", "sifted Mb/s", "key / sifted", "f", "rounds", "cores taken",
         "kernels alone: secret", "sifted", "stack / kernels", "the same per core", "keys compared"),
        [
            (r["protocol"], f"{r['qber']:.2%}", _mega(r["secret_bps"]), _mega(r["sifted_bps"]), r["share"],
             f"{r['efficiency']:.3f}", r["rounds"], r["taken"], _mega(r.get("kernels_secret_bps")),
             _mega(r.get("kernels_sifted_bps")), r.get("ratio", ""), r.get("ratio_per_core", ""), r["keys_equal"])
            for r in results
        ],
    )  # fmt: skip
    parts = [ABOUT.format(block=block, rates=rates, **{what: _by_name(results, what) for what in BY_NAME})]
    if systems:
        rows = [
            (s["preset"], s["protocol"], s["length_km"], s["loss_db"], f"{s['qber']:.2%}", s["sifted_hz"],
             s["secret_hz"], s["sifted_bps"], s["secret_bps"], f"{s['speed']:.3g}")
            for s in systems
        ]  # fmt: skip
        heads = ("preset", "protocol", "km", "dB", "QBER", "sifted bit/s needed", "secret, by formula",
                 "sifted bit/s here", "secret here", "times real time")  # fmt: skip
        parts.append(ABOUT_PRESETS.format(rates=report.table(heads, rows)))
    return "\n".join(parts)


def _by_name(results: list[dict[str, Any]], what: str) -> str:
    with_it = [result for result in results if what in result]
    names = list(dict.fromkeys(name for result in with_it for name in result[what]))
    rows = [(r["protocol"], f"{r['qber']:.2%}", *(r[what].get(name, "") for name in names)) for r in with_it]
    return report.table(("protocol", "QBER", *names), rows)


def _mega(rate: float | None) -> str:
    return "" if rate is None else f"{rate / 1e6:.2f}" if rate else "no key"


BY_NAME = ("stages", "kernels_ns_per_bit", "cpu")
ABOUT = f"""Two nodes on this machine, {JOBS} exchanges at once, the link's clock as fast as it can. Keys are fetched in
bulk by an application at each end, and all of them are compared. Pulses: {PROTOCOL} with the figures of {PRESET} at
2 dB, blocks of {{block:,}} sifted bits, finite-key security; the receiver's misalignment sets the QBER, and there is no
dead time. No decoy protocol leaves a key at 10 %: failed exchanges are followed by a pause, which its sifted rate
includes. Pairs: bbm92, blocks of {PAIR_BLOCK:,}, finite at 2 % and asymptotic at 10 %.

"Kernels alone": the same kernels for both ends one after the other, in one process without messages, storage or
services; their rate is that of as many cores as there are. The load average was {{load}} before the start: "the same
per core" divides by the cores that the stack's processes took, which is what remains of the comparison where others
were at work too.

{{rates}}

## Wall clock by stage, s per block (several exchanges share the cores)

{{stages}}

## Processor time of the kernels alone, ns per sifted bit, both ends

{{kernels_ns_per_bit}}

## Cores taken by each process

{{cpu}}
"""
ABOUT_PRESETS = """## How far each preset is from real time

At its published distance, as fast as this machine can: seconds of link time per second. Above 1 the link could be
followed in real time; below 1 its clock can be slowed by that factor, with the same physics.

{rates}
"""


def main() -> None:
    """Measure, write docs/photonic-stack.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--qbers", default=",".join(map(str, QBERS)))
    parser.add_argument("--no-pairs", action="store_true")
    parser.add_argument("--no-presets", action="store_true")
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    asked = parser.parse_args()
    where = report.machine()
    results = [by_qber(float(qber), asked.block, asked.seconds) for qber in asked.qbers.split(",")]
    if not asked.no_pairs:
        results += [with_pairs(qber, sense, asked.seconds) for qber, sense in PAIRS]
    systems = [] if asked.no_presets else presets(PRESET_SECONDS)
    text = page(results, systems, asked.block)
    if not asked.dry:
        command = "python -m benchmarks.photonic_stack"
        report.write("photonic-stack", "Photonic links through the whole stack", command, text,
                     {"by_qber": results, "presets": systems}, where)  # fmt: skip
    print(text)


if __name__ == "__main__":
    main()
