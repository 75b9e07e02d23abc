"""What `qkdbus validate` says about photonic links and presets: rates by formula, and what is assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import say

if TYPE_CHECKING:
    from qkdbus.network.model import LinkSettings
    from qkdbus.network.system import Preset


def theory(link: LinkSettings) -> dict[str, Any]:
    """Return what the formulas give for a photonic link, and what they are given.

    Rates are per s of the link's own clock; `secret_hz` is for endless blocks, `finite_hz` for those of the link.
    """
    from qkdbus.physics.expected import Terms, expected

    photonic, protocol = link.photonic, link.protocol
    setup, block = photonic.setup(protocol), photonic.block_bits(protocol)
    endless = expected(setup, protocol, Terms(disclose=link.disclose))
    finite = expected(setup, protocol, Terms(disclose=link.disclose, block=block, epsilon=link.epsilon))
    seconds = endless.seconds(block)
    return {
        "preset": photonic.system(protocol).name,
        "source": photonic.system(protocol).source,
        "loss_db": photonic.loss_db(protocol),
        "speed": photonic.speed,
        "security": link.sense,
        "block_bits": block,
        "block_s": seconds if endless.sifted_hz else None,
        **{name: value for name, value in asdict(endless).items() if name != "s" or protocol == "e91"},
        "finite_hz": finite.secret_hz,
        "assumed": photonic.assumed(protocol),
        "setup": asdict(setup),
    }


def tell(links: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Print what `theory` gave for links, by their names."""
    rows = [
        (
            name,
            found["preset"],
            found["loss_db"],
            _clock(found["speed"]),
            f"{found['qber']:.2%}",
            rate(found["secret_hz"]),
            rate(found["finite_hz"]),
            _duration(found["block_s"]),
        )
        for name, found in links
    ]
    say.answer("\nPhotonic links, by formula (rates per s of the link's clock):\n")
    heads = ("link", "preset", "loss dB", "clock", "QBER", "key, endless blocks", "key, its blocks", "a block takes")
    say.table(heads, rows)
    say.answer("")
    assumed: dict[str, dict[str, str]] = {}
    for _, found in links:
        assumed.setdefault(found["preset"], {}).update(found["assumed"])
    for preset, figures in assumed.items():
        say.answer(f"Not published of {preset}: {_listed(figures)}")


def presets() -> list[dict[str, Any]]:
    """Return the presets, with what the formulas give for them under their own protocol."""
    from qkdbus.network.presets import PRESETS

    return [_described(preset) for preset in PRESETS.values()]


def tell_presets(found: Sequence[dict[str, Any]]) -> None:
    """Print what `presets` gave."""
    heads = ("preset", "protocol", "km", "loss dB", "QBER", "key by formula", "reported")
    rows = [
        (p["name"], p["protocol"], p["length_km"], p["loss_db"], f"{p['qber']:.2%}", rate(p["secret_hz"]), _said(p))
        for p in found
    ]
    say.table(heads, rows)
    for p in found:
        say.answer(f"\n{p['name']}: {p['title']}\n  {p['source']}\n  {_listed(p['assumed'])}\n  {p['note']}")


def _described(preset: Preset) -> dict[str, Any]:
    from qkdbus.physics.expected import expected

    theory = expected(preset.setup, preset.protocol)
    plain = {name: getattr(preset, name) for name in ("name", "title", "source", "protocol", "length_km", "note")}
    return {
        **plain,
        "loss_db": preset.loss_db,
        "block_bits": preset.block,
        "setup": asdict(preset.setup),
        "origins": dict(preset.origins),
        "assumed": preset.assumed,
        "reported": [asdict(point) for point in preset.points],
        **{name: getattr(theory, name) for name in ("sifted_hz", "qber", "secret_hz")},
    }


def _said(preset: dict[str, Any]) -> str:
    """Return the first reported key rate, with a mark where it was not confirmed."""
    for point in preset["reported"]:
        if point["what"] == "secret bits/s":
            where = f" at {point['length_km']:g} km" if point["length_km"] else ""
            return f"{rate(point['rate'])}{where}{'' if point['origin'] == 'published' else ' (unconfirmed)'}"
    return "-"


def _listed(assumed: dict[str, str]) -> str:
    """Return "assumed: a, b; fitted: c"."""
    by_origin: dict[str, list[str]] = {}
    for name, origin in assumed.items():
        by_origin.setdefault(origin, []).append(name)
    return "; ".join(f"{origin}: {', '.join(names)}" for origin, names in by_origin.items()) or "nothing"


def _clock(speed: float) -> str:
    return "real time" if speed == 1 else f"{speed:g} x real time" if speed else "as fast as possible"


def rate(hertz: float) -> str:
    """Return a key rate with its unit."""
    for size, unit in ((1e6, "Mb/s"), (1e3, "kb/s")):
        if hertz >= size:
            return f"{hertz / size:.3g} {unit}"
    return f"{hertz:.3g} b/s" if hertz else "none"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "for ever"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e3:.3g} ms"
