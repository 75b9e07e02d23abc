"""What is expected of a setup: against the closed forms, and under noise and attack."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qkdbus.physics.decoy import Optics
from qkdbus.physics.entangled import Tap
from qkdbus.physics.expected import Expected, Terms, clicks, expected
from qkdbus.physics.setup import PairSetup, PulseSetup

GYS = PulseSetup(2e6, (0.48, 0.05, 0.0), (0.7, 0.2, 0.1), 0.5, 0.5, 10.5, 0.045, 1.7e-6, misalignment=0.033)
CLEAN = PulseSetup(1e9, (0.5, 0.1, 0.0), (0.7, 0.2, 0.1), 0.9, 0.9, 10.0, 0.5, 0.0)
PAIRS = PairSetup(1e6, (3.0, 3.0), (0.5, 0.5), (0.0, 0.0), 1e-12)


def test_clicks_of_each_intensity_are_the_gains_of_the_closed_form() -> None:
    optics = Optics(GYS.eta, GYS.dark_probability, GYS.misalignment)
    total, counts = clicks(GYS)
    gains = [n / (GYS.rate_hz * p * 0.25) for n, p in zip(counts.n_z, GYS.probabilities, strict=True)]
    errors = [m / n for m, n in zip(counts.m_z, counts.n_z, strict=True)]
    assert gains == pytest.approx([optics.gain(k) for k in GYS.intensities], rel=1e-3)
    assert errors == pytest.approx([optics.error(k) for k in GYS.intensities], rel=1e-3)
    assert total == pytest.approx(4 * sum(counts.n_z))


def test_sifting_keeps_what_both_ends_have_in_the_key_basis() -> None:
    found = expected(CLEAN, "bb84-decoy")
    assert found.sifted_hz == pytest.approx(0.81 * found.detected_hz)
    assert found.seconds(1000) == pytest.approx(1000 / found.sifted_hz)


@pytest.mark.parametrize("share", [0.1, 0.44, 1.0])
def test_intercept_resend_makes_a_quarter_of_its_share_into_errors(share: float) -> None:
    terms = Terms(tap=Tap(share))
    # Eve's bases are as likely as each other, so the key basis sees half of them at 1/2
    assert expected(CLEAN, "bb84-decoy", terms).qber == pytest.approx(share / 4)
    assert expected(PAIRS, "bbm92", terms).qber == pytest.approx(share / 4, abs=1e-5)


def test_errors_of_the_link_add_up_with_eves() -> None:
    noisy = replace(CLEAN, misalignment=0.03)
    assert expected(noisy, "bb84-decoy", Terms(tap=Tap(0.3))).qber == pytest.approx(0.1005)


def test_eve_in_the_key_basis_alone_is_seen_in_the_other() -> None:
    found = expected(CLEAN, "bb84-decoy", Terms(tap=Tap(1.0, (0.0,))))
    assert found.qber == 0
    assert found.phase_error == pytest.approx(0.5)
    assert found.secret_hz == 0


@given(some.floats(0, 0.5), some.floats(0, 0.3))
def test_dephasing_turns_the_check_basis_only(dephasing: float, misalignment: float) -> None:
    still = expected(replace(CLEAN, misalignment=misalignment), "bb84-decoy")
    turned = expected(replace(CLEAN, misalignment=misalignment, dephasing=dephasing), "bb84-decoy")
    assert turned.qber == pytest.approx(still.qber)
    assert turned.phase_error >= still.phase_error - 1e-9


def test_depolarising_makes_half_of_what_it_replaces_wrong() -> None:
    assert expected(replace(CLEAN, depolarising=0.04), "bb84-decoy").qber == pytest.approx(0.02)
    assert expected(replace(PAIRS, depolarising=0.04), "bbm92").qber == pytest.approx(0.02, abs=1e-5)


def test_dead_time_slows_the_link_down_and_more_detectors_help() -> None:
    blind = replace(CLEAN, dead_time_s=50e-9)
    many = replace(blind, detectors=8)
    rates = [expected(setup, "bb84-decoy").sifted_hz for setup in (blind, many, CLEAN)]
    assert rates[0] < rates[1] < rates[2]
    total = expected(CLEAN, "bb84-decoy").detected_hz
    assert expected(blind, "bb84-decoy").detected_hz == pytest.approx(total / (1 + total * 50e-9 / 2))


def test_pairs_are_kept_as_their_protocols_keep_them() -> None:
    shares = {protocol: expected(PAIRS, protocol) for protocol in ("bbm92", "e91-same-bases", "e91")}
    kept = {protocol: found.sifted_hz / found.detected_hz for protocol, found in shares.items()}
    assert kept == pytest.approx({"bbm92": 1 / 2, "e91-same-bases": 1 / 3, "e91": 2 / 9})
    assert [found.s for found in shares.values()] == pytest.approx([0, 0, 2 * math.sqrt(2)], abs=1e-4)


def test_accidental_coincidences_lower_s_and_raise_the_qber() -> None:
    dark = replace(PAIRS, dark_rate_hz=(1e6, 1e6), window_s=1e-8, visibility=0.96)
    found = expected(dark, "e91")
    visibility = 1 - 2 * found.qber
    assert visibility < 0.96
    assert found.s == pytest.approx(2 * math.sqrt(2) * visibility)


def test_eve_between_the_key_bases_of_e91_leaves_no_key_though_the_qber_is_low() -> None:
    found = expected(PAIRS, "e91", Terms(tap=Tap(1.0, (33.75,))))
    assert found.qber == pytest.approx(0.0732, abs=1e-4)
    assert found.secret_hz == 0


def test_a_block_gives_less_than_endless_blocks_and_a_longer_one_more() -> None:
    for setup, protocol in ((CLEAN, "bb84-decoy"), (PAIRS, "bbm92"), (PAIRS, "e91")):
        endless = expected(setup, protocol, Terms(disclose=0.1)).secret_hz
        short, long = (
            expected(setup, protocol, Terms(disclose=0.1, block=block)).secret_hz for block in (1 << 23, 1 << 26)
        )
        assert 0 < short < long < endless, protocol


def test_a_dark_link_gives_nothing_and_takes_for_ever() -> None:
    dark = expected(replace(CLEAN, loss_db=200.0, intensities=(0.5, 0.1, 0.0)), "bb84-decoy")
    assert dark.secret_hz == pytest.approx(0, abs=1e-6)
    assert Expected(1, 0, 0, 0.5, 0.5, 0).seconds(1) == math.inf


def test_no_light_at_all_is_no_error() -> None:
    assert expected(replace(PAIRS, rate_hz=0.0), "bbm92").secret_hz == 0
    assert expected(replace(CLEAN, rate_hz=0.0), "bb84-decoy").secret_hz == 0


def test_a_protocol_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        expected(PAIRS, "b92")
