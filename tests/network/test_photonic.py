"""What the photonic block of a link means: figures over a preset, the clock; and what follows for the link."""

from __future__ import annotations

import pytest

from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import ChannelNoise, Eavesdropper, Fibre, Photonic, Receiver, Source
from qkdbus.network.presets import PRESETS
from qkdbus.physics.setup import PairSetup, PulseSetup


def pulses(photonic: Photonic, protocol: str = "bb84-decoy") -> PulseSetup:
    setup = photonic.setup(protocol)
    assert isinstance(setup, PulseSetup)
    return setup


def pairs(photonic: Photonic, protocol: str = "bbm92") -> PairSetup:
    setup = photonic.setup(protocol)
    assert isinstance(setup, PairSetup)
    return setup


def test_figures_go_before_those_of_the_preset() -> None:
    setup = pulses(
        Photonic(
            preset="gys-2004",
            source=Source(rate_hz=1e8, intensities=(0.6, 0.1, 0.01), probabilities=(0.5, 0.3, 0.2), p_z=0.7),
            fibre=Fibre(length_km=50),
            receiver=Receiver(p_z=0.6, efficiency=0.1, dead_time_ns=50, detectors=4, misalignment=0.01),
            noise=ChannelNoise(depolarising=0.02, dephasing=0.03),
        )
    )
    dark = 1.7e-6 * 2e6 / 1e8  # the detectors' dark counts per s are what they were
    expected_setup = PulseSetup(
        1e8, (0.6, 0.1, 0.01), (0.5, 0.3, 0.2), 0.7, 0.6, 10.5, 0.1, dark, 5e-8, 4, 0.01, 0.02, 0.03
    )
    for field in PulseSetup.__dataclass_fields__:
        assert getattr(setup, field) == pytest.approx(getattr(expected_setup, field)), field


def test_a_total_loss_goes_before_a_length() -> None:
    both = Photonic(preset="gys-2004", fibre=Fibre(length_km=100, db_per_km=0.3, loss_db=7))
    assert both.loss_db("bb84-decoy") == 7
    assert Photonic(preset="gys-2004", fibre=Fibre(length_km=100, db_per_km=0.3)).loss_db("bb84-decoy") == 30
    assert Photonic(preset="gys-2004", fibre=Fibre(length_km=100)).loss_db("bb84-decoy") == 21
    assert Photonic(preset="gys-2004", fibre=Fibre(db_per_km=0.5)).loss_db("bb84-decoy") == 10


def test_light_in_free_space_spreads_with_the_square_of_the_distance() -> None:
    near, far = (Photonic(preset="liao-2017", fibre=Fibre(length_km=km)).loss_db("bb84-decoy") for km in (600, 1200))
    assert far - near == pytest.approx(6.02, abs=0.01)
    assert far == pytest.approx(PRESETS["liao-2017"].loss_db)


def test_dark_counts_can_be_given_per_second_or_per_slot() -> None:
    assert pulses(Photonic(receiver=Receiver(dark_rate_hz=1000))).dark_probability == pytest.approx(1e-6)
    assert pulses(Photonic(receiver=Receiver(dark_probability=1e-7))).dark_probability == 1e-7
    setup = pairs(Photonic(receiver=Receiver(dark_probability=1e-7, window_ns=2)))
    assert setup.dark_rate_hz == pytest.approx((50, 50))
    assert pairs(Photonic(receiver=Receiver(dark_rate_hz=300))).dark_rate_hz == (300, 300)


def test_a_visibility_is_that_of_pairs_and_a_misalignment_of_pulses() -> None:
    receiver = Receiver(visibility=0.9)
    assert pulses(Photonic(receiver=receiver)).misalignment == pytest.approx(0.05)
    assert pairs(Photonic(receiver=receiver)).visibility == 0.9


def test_the_source_of_pairs_stands_where_it_is_said_to() -> None:
    fibre = Fibre(loss_db=20)
    assert pairs(Photonic(source=Source(at="middle"), fibre=fibre)).loss_db == (10, 10)
    assert pairs(Photonic(source=Source(at="arbiter"), fibre=fibre)).loss_db == (0, 20)
    assert pairs(Photonic(preset="neumann-2022", fibre=fibre)).loss_db == pytest.approx((10, 10))
    assert pairs(Photonic(preset="wengerowsky-2019", fibre=fibre)).loss_db == pytest.approx((0, 20))


def test_the_clock_says_how_fast_the_link_goes() -> None:
    assert Photonic().speed == 1.0
    assert Photonic(clock="as-fast-as-possible").speed == 0.0
    assert Photonic(clock=0.25).speed == 0.25


def test_a_figure_that_is_given_is_no_longer_assumed() -> None:
    assumed = Photonic(preset="yuan-2018").assumed("bb84-decoy")
    assert assumed["efficiency"] == "fitted"
    assert {"intensities", "misalignment", "db_per_km"} <= assumed.keys()
    own = Photonic(
        preset="yuan-2018", receiver=Receiver(efficiency=0.2, visibility=0.95), fibre=Fibre(loss_db=3)
    ).assumed("bb84-decoy")
    assert own.keys() == assumed.keys() - {"efficiency", "misalignment", "db_per_km", "length_km"}


def test_keys_are_secret_in_the_finite_sense_on_photonic_links_only() -> None:
    assert LinkSettings(emulator="photonic").sense == "finite"
    assert LinkSettings().sense == "asymptotic"
    assert LinkSettings(security="finite").sense == "finite"
    assert LinkSettings(emulator="photonic", security="asymptotic").sense == "asymptotic"


def test_the_engine_follows_from_the_protocol_unless_it_is_named() -> None:
    assert LinkSettings().engines() == ("stabilizer",)
    assert LinkSettings(protocol="e91").engines() == ("projectq", "qutip")
    assert LinkSettings(protocol="e91", engine="qutip").engines() == ("qutip",)


def test_nobody_is_in_the_channel_unless_something_is_said() -> None:
    assert not Eavesdropper().there
    assert Eavesdropper(jam=0.1).there
    assert Eavesdropper(cut=True).there
