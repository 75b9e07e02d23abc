"""The presets: what they run, what they give, and whether they say where their figures are from."""

from __future__ import annotations

import pytest

from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Fibre, Photonic
from qkdbus.network.presets import PRESETS
from qkdbus.physics.expected import Terms, expected
from qkdbus.physics.setup import PulseSetup


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_every_protocol_of_its_kind(name: str) -> None:
    kind = {"bb84-decoy", "bb84-one-decoy"}
    kind = kind if PRESETS[name].protocol in kind else {"bbm92", "e91", "e91-same-bases"}
    for protocol in kind:
        setup = Photonic(preset=name).setup(protocol)
        assert expected(setup, protocol).secret_hz > 0, protocol
        if isinstance(setup, PulseSetup):
            assert len(setup.intensities) == len(setup.probabilities) == (3 if protocol == "bb84-decoy" else 2)
            assert sum(setup.probabilities) == pytest.approx(1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_block_of_every_preset_gives_a_finite_key(name: str) -> None:
    preset = PRESETS[name]
    terms = Terms(block=preset.block, disclose=LinkSettings().disclose)
    assert expected(preset.setup, preset.protocol, terms).secret_hz > 0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_where_its_figures_are_from(name: str) -> None:
    preset = PRESETS[name]
    fields = type(preset.setup).__dataclass_fields__
    for figure in preset.origins:
        assert figure in fields or figure in ("length_km", "db_per_km", "block", "p_z"), figure
    must = {"rate_hz", "loss_db", "efficiency", "intensities", "visibility"} & set(fields)
    # GYS's loss follows from its length, Yuan's protocol needs no visibility: each must be told, or follow
    told = set(preset.origins) | ({"loss_db"} if "length_km" in preset.origins else set())
    assert must <= told
    assert any(year in preset.source for year in map(str, range(2004, 2024)))


@pytest.mark.parametrize(
    ("name", "km", "rate"),
    [
        ("yuan-2018", None, 13.72e6),
        ("gruenenfelder-2023", 10.0, 64e6),
        ("gruenenfelder-2023", 102.4, 3.0e6),
        ("li-2023", 10.0, 115.8e6),
    ],
)
def test_a_fitted_preset_gives_the_rate_that_it_was_fitted_to(name: str, km: float | None, rate: float) -> None:
    preset = PRESETS[name]
    setup = Photonic(preset=name, fibre=Fibre(length_km=km)).setup(preset.protocol)
    assert expected(setup, preset.protocol).secret_hz == pytest.approx(rate, rel=0.06)
    assert any(point.rate == rate and point.origin == "published" for point in preset.points)


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_is_further_off_than_is_claimed(name: str) -> None:
    preset = PRESETS[name]
    for point in preset.points:
        if point.rate is None or point.rate < 1:  # 0.25 b/s at the very end of reach: blocks are all that counts there
            continue
        fibre = Fibre(length_km=point.length_km, loss_db=point.loss_db)
        found = expected(Photonic(preset=name, fibre=fibre).setup(preset.protocol), preset.protocol)
        model = found.detected_hz if point.what == "pairs/s" else found.secret_hz
        assert 1 / 2.5 < model / point.rate < 2.5, point


def test_pulses_and_pairs_have_a_preset_when_none_is_named() -> None:
    assert Photonic().system("bb84-one-decoy").name == "yuan-2018"
    assert Photonic().system("e91").name == "wengerowsky-2019"


def test_a_preset_of_the_other_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a source of pairs, which bbm92 needs"):
        Photonic(preset="gys-2004").setup("bbm92")
