"""Published systems as presets of a photonic link, each with its source, its reported figures and what is assumed.

No paper states all that a simulation needs. `Preset.origins` says where each figure is from:

    published     in the abstract of the source
    unconfirmed   believed to be in the source; not checked against its text
    assumed       ours: plausible for such a system
    fitted        ours: set so that the formulas (`qkdbus.physics.expected`) give one of the reported figures

So a preset is a system *like* the published one. Beyond the figures that it was fitted to, it may be off by a factor of
2.5 (see `points`), and by more at the end of reach, where blocks are small and the formulas know no finite size.
Assumed intensities, probabilities and bases are about the best for a finite block of the preset's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..physics.setup import PairSetup, PulseSetup
from .system import Origin as Origin
from .system import Point as Point
from .system import Preset as Preset


def _origins(**said: str) -> Mapping[str, Origin]:
    """Return field -> origin out of `origin="field field ..."`."""
    pairs = {name: origin for origin, names in said.items() for name in names.split()}
    return MappingProxyType(pairs)  # type: ignore[arg-type]  # the keywords are the four origins


GYS = Preset(
    name="gys-2004",
    title="phase-encoded BB84 over standard fibre, InGaAs APDs; the decoy literature's reference",
    source="Gobby, Yuan, Shields, Appl. Phys. Lett. 84, 3762 (2004); as used by Ma et al., PRA 72, 012326 (2005)",
    protocol="bb84-decoy",
    setup=PulseSetup(
        rate_hz=2e6,
        intensities=(0.48, 0.05, 0.0),
        probabilities=(0.3, 0.45, 0.25),
        p_z_source=0.5,
        p_z_receiver=0.5,
        loss_db=4.2,
        efficiency=0.045,
        dark_probability=1.7e-6,
        misalignment=0.033,
    ),
    length_km=20.0,
    db_per_km=0.21,
    block=1 << 19,
    origins=_origins(
        unconfirmed="rate_hz db_per_km efficiency dark_probability misalignment intensities p_z",
        assumed="probabilities length_km",
    ),
    points=(Point(122.0, None, None, "reach", "unconfirmed"),),
    note="decoy states were not sent in 2004; the figures are those with which the decoy literature computes",
)
BOARON = Preset(
    name="boaron-2018",
    title="421 km of ultra-low-loss fibre, 2.5 GHz time bins, one decoy, SNSPDs",
    source="Boaron et al., Phys. Rev. Lett. 121, 190502 (2018)",
    protocol="bb84-one-decoy",
    setup=PulseSetup(
        rate_hz=2.5e9,
        intensities=(0.5, 0.2),
        probabilities=(0.7, 0.3),
        p_z_source=0.9,
        p_z_receiver=0.9,
        loss_db=42.7,
        efficiency=0.179,
        dark_probability=2e-10,
        misalignment=0.005,
    ),
    length_km=251.7,
    db_per_km=0.1697,
    block=8_200_000,
    origins=_origins(
        published="rate_hz",
        unconfirmed="loss_db length_km db_per_km block",
        assumed="intensities probabilities p_z dark_probability misalignment",
        fitted="efficiency",
    ),
    points=(
        Point(251.7, 42.7, 4900.0, origin="unconfirmed"),
        Point(405.0, 69.3, 6.5),
        Point(421.0, 71.9, 0.25, origin="unconfirmed"),
        Point(421.0, None, None, "reach"),
    ),
    note="three states were sent, here four; efficiency fitted to 6.5 b/s at 405 km, without finite-size terms",
)
YUAN = Preset(
    name="yuan-2018",
    title="10 Mb/s over 2 dB for days, 1 GHz, self-differencing InGaAs APDs",
    source="Yuan et al., J. Lightwave Technol. 36, 3427 (2018), arXiv:1807.04484",
    protocol="bb84-decoy",
    setup=PulseSetup(
        rate_hz=1e9,
        intensities=(0.4, 0.18, 0.0004),
        probabilities=(0.45, 0.4, 0.15),
        p_z_source=0.88,
        p_z_receiver=0.88,
        loss_db=2.0,
        efficiency=0.339,
        dark_probability=2e-5,
        misalignment=0.03,
    ),
    length_km=10.0,
    db_per_km=0.2,
    block=1 << 23,
    origins=_origins(
        published="loss_db",
        unconfirmed="rate_hz",
        assumed="intensities probabilities p_z dark_probability misalignment length_km db_per_km",
        fitted="efficiency",
    ),
    points=(Point(None, 2.0, 13.72e6),),
    note="efficiency fitted to 13.72 Mb/s at 2 dB",
)
GRUENENFELDER = Preset(
    name="gruenenfelder-2023",
    title="64 Mb/s over 10 km, 2.5 GHz time bins, one decoy, multi-pixel SNSPDs",
    source="Gruenenfelder et al., Nat. Photonics 17, 422 (2023), arXiv:2210.16126",
    protocol="bb84-one-decoy",
    setup=PulseSetup(
        rate_hz=2.5e9,
        intensities=(0.46, 0.24),
        probabilities=(0.57, 0.43),
        p_z_source=0.935,
        p_z_receiver=0.935,
        loss_db=1.65,
        efficiency=0.33,
        dark_probability=1e-8,
        dead_time_s=40e-9,
        detectors=7,
        misalignment=0.004,
    ),
    length_km=10.0,
    db_per_km=0.165,
    block=1 << 23,
    origins=_origins(
        published="rate_hz length_km",
        unconfirmed="db_per_km loss_db detectors misalignment",
        assumed="intensities probabilities p_z dark_probability",
        fitted="efficiency dead_time_s",
    ),
    points=(Point(10.0, None, 64e6), Point(102.4, None, 3.0e6)),
    note="three states were sent, here four; 14 pixels for two outcomes; efficiency and dead time fitted to both rates",
)
LI = Preset(
    name="li-2023",
    title="115.8 Mb/s over 10 km, 2.5 GHz polarisation, multi-pixel SNSPDs",
    source="Li et al., Nat. Photonics 17, 416 (2023), arXiv:2307.02364",
    protocol="bb84-one-decoy",
    setup=PulseSetup(
        rate_hz=2.5e9,
        intensities=(0.48, 0.25),
        probabilities=(0.6, 0.4),
        p_z_source=0.94,
        p_z_receiver=0.94,
        loss_db=2.2,
        efficiency=0.677,
        dark_probability=4e-8,
        dead_time_s=30e-9,
        detectors=8,
        misalignment=0.0035,
    ),
    length_km=10.0,
    db_per_km=0.22,
    block=1 << 23,
    origins=_origins(
        published="length_km",
        unconfirmed="rate_hz loss_db detectors misalignment",
        assumed="db_per_km intensities probabilities p_z dark_probability dead_time_s",
        fitted="efficiency",
    ),
    points=(
        Point(10.0, 2.2, 115.8e6),
        Point(328.0, 55.1, 233.0, origin="unconfirmed"),
        Point(328.0, None, None, "reach"),
    ),
    note="efficiency fitted to 115.8 Mb/s at 10 km; the 328 km were ultra-low-loss fibre",
)
LIAO = Preset(
    name="liao-2017",
    title="Micius: decoy BB84 from a satellite, downlink",
    source="Liao et al., Nature 549, 43 (2017)",
    protocol="bb84-decoy",
    setup=PulseSetup(
        rate_hz=1e8,
        intensities=(0.8, 0.1, 0.0),
        probabilities=(0.5, 0.25, 0.25),
        p_z_source=0.5,
        p_z_receiver=0.5,
        loss_db=27.4,
        efficiency=0.16,
        dark_probability=5e-7,
        misalignment=0.009,
    ),
    length_km=1200.0,
    db_per_km=None,
    block=1 << 19,
    origins=_origins(
        published="length_km",
        unconfirmed="rate_hz intensities probabilities p_z",
        assumed="efficiency dark_probability misalignment",
        fitted="loss_db",
    ),
    points=(Point(None, None, 1100.0, origin="unconfirmed"),),
    note="one loss for a whole pass, fitted to its sifted bits (1,671,072 in 273 s in both bases, unconfirmed); "
    '"kilohertz key rate" is published',
)
WENGEROWSKY = Preset(
    name="wengerowsky-2019",
    title="polarisation-entangled pairs through a 96 km submarine cable",
    source="Wengerowsky et al., PNAS 116, 6684 (2019), arXiv:1803.00583",
    protocol="bbm92",
    setup=PairSetup(
        rate_hz=1.02e6,
        loss_db=(0.0, 22.0),
        efficiency=(0.2, 0.2),
        dark_rate_hz=(500.0, 500.0),
        window_s=1e-9,
        visibility=0.92,
    ),
    length_km=96.0,
    db_per_km=0.229,
    block=1 << 14,
    origins=_origins(
        published="length_km",
        unconfirmed="loss_db db_per_km",
        assumed="efficiency dark_rate_hz window_s visibility",
        fitted="rate_hz",
    ),
    points=(Point(96.0, None, 257.0, "pairs/s"), Point(96.0, None, 57.5, origin="unconfirmed")),
    note='rate fitted to 257 pairs/s; a visibility "above 90 %" is published; no published CHSH value was found',
)
NEUMANN = Preset(
    name="neumann-2022",
    title="polarisation-entangled pairs over 248 km of deployed fibre, source in the middle",
    source="Neumann et al., Nat. Commun. 13, 6134 (2022), arXiv:2203.12417",
    protocol="bbm92",
    setup=PairSetup(
        rate_hz=1.31e9,
        loss_db=(39.5, 39.5),
        efficiency=(0.7, 0.7),
        dark_rate_hz=(300.0, 300.0),
        window_s=1e-10,
        visibility=0.97,
    ),
    length_km=248.0,
    db_per_km=79 / 248,
    block=1 << 17,
    origins=_origins(
        published="length_km loss_db",
        assumed="efficiency dark_rate_hz window_s db_per_km",
        fitted="rate_hz visibility",
    ),
    points=(Point(248.0, 79.0, 9.0, "pairs/s"), Point(248.0, 79.0, 1.4)),
    note="rate and visibility fitted to 9 pairs/s with 86 %, accidental ones included; that both arms lose the same is "
    "assumed. The formula gives 1.0 to 1.2 b/s where 1.4 is published",
)

_ALL = (GYS, BOARON, YUAN, GRUENENFELDER, LI, LIAO, WENGEROWSKY, NEUMANN)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
