"""Correlations, CHSH, coincidences and the key rate of pairs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qkdbus.physics.bounds import cut_off
from qkdbus.physics.entangled import (
    TSIRELSON,
    PairOptics,
    Tap,
    bbm92,
    chsh,
    chsh_error,
    coincidences,
    correlation,
    phase_error,
    qber_of,
)
from qkdbus.physics.setup import transmittance

share = some.floats(0, 1)
angle = some.floats(-180, 180)


@given(share)
def test_s_of_a_werner_state_is_two_root_two_v(visibility: float) -> None:
    assert chsh(visibility) == pytest.approx(TSIRELSON * visibility)


def test_visibilities_at_the_limits() -> None:
    assert chsh(0.96) == pytest.approx(2.715, abs=5e-4)
    assert chsh(0.78) == pytest.approx(2.206, abs=5e-4)
    assert qber_of(0.78) == pytest.approx(0.11)
    assert qber_of(2 / TSIRELSON) == pytest.approx(0.146, abs=5e-4)  # S = 2 is past the QBER that ends all keys


@given(some.lists(angle, min_size=1, max_size=4))
def test_intercept_resend_leaves_root_two_whatever_eves_angles(angles: list[float]) -> None:
    assert chsh(1.0, tap=Tap(1.0, tuple(angles))) == pytest.approx(math.sqrt(2))


@given(share, share, some.lists(angle, min_size=1, max_size=4))
def test_s_never_exceeds_tsirelsons_bound(dephasing: float, part: float, angles: list[float]) -> None:
    assert abs(chsh(1.0, dephasing, Tap(part, tuple(angles)))) <= TSIRELSON + 1e-9


@pytest.mark.parametrize(
    ("angles", "qber"), [((22.5, 45.0), 0.125), ((0.0,), 0.375), ((0.0, 45.0), 0.25), ((33.75,), 0.0732)]
)
def test_the_qber_of_e91_depends_on_eves_angles(angles: tuple[float, ...], qber: float) -> None:
    seen = [correlation(a, a, tap=Tap(1.0, angles)) for a in (22.5, 45.0)]
    assert (1 - sum(seen) / 2) / 2 == pytest.approx(qber, abs=1e-4)


@given(share, share, some.lists(angle, min_size=1, max_size=3), some.sampled_from([22.5, 45.0]))
def test_s_bounds_what_the_conjugate_basis_would_show(
    dephasing: float, part: float, angles: list[float], key: float
) -> None:
    tap = Tap(part, tuple(angles))
    bit, phase = ((1 - correlation(a, a, dephasing, tap)) / 2 for a in (key, key + 45))
    assert phase_error(chsh(1.0, dephasing, tap), bit) == pytest.approx(min(max(phase, 0), 0.5), abs=1e-9)


def test_the_standard_error_of_s_is_that_of_the_formula() -> None:
    e = 0.96 / math.sqrt(2)
    assert chsh_error([e, -e, e, e], [1000] * 4) == pytest.approx(0.0464, abs=1e-4)


def test_coincidences_are_true_ones_and_accidental_ones() -> None:
    true, accidental = coincidences(1e6, (0.1, 0.2), (1e3, 2e3), 1e-9)
    assert true == pytest.approx(2e4, rel=1e-3)
    assert accidental == pytest.approx(1.01e5 * 2.02e5 * 1e-9, rel=1e-3)


@given(some.floats(1, 1e12), share, share, some.floats(0, 1e9), some.floats(1e-12, 1e-6))
def test_no_more_than_one_coincidence_fits_into_a_window(
    rate: float, one: float, other: float, dark: float, window: float
) -> None:
    true, accidental = coincidences(rate, (one, other), (dark, dark), window)
    assert 0 <= (true + accidental) * window <= 1 + 1e-9


def ma_fung_lo(db: float) -> PairOptics:
    """The example of Ma, Fung, Lo (2007), source in the middle."""
    return PairOptics((0.145 * transmittance(db / 2),) * 2, (6.02e-6,) * 2, 0.015)


def test_gain_and_error_of_a_down_conversion_source_are_sums_over_numbers_of_pairs() -> None:
    optics, mu = PairOptics((0.1, 0.03), (1e-5, 2e-5), 0.015), 0.2
    (one, other), (dark1, dark2), lam = optics.eta, optics.dark, mu / 2
    gain = wrong = 0.0
    for n in range(80):  # eqs. 6 to 8 and appendix A of the paper
        likely = (n + 1) * lam**n / (1 + lam) ** (n + 2)
        clicks = (1 - (1 - dark1) * (1 - one) ** n) * (1 - (1 - dark2) * (1 - other) ** n)
        apart = (1 - (1 - one) ** (n + 1) * (1 - other) ** (n + 1)) / (1 - (1 - one) * (1 - other))
        apart -= ((1 - one) ** (n + 1) - (1 - other) ** (n + 1)) / (other - one)
        gain += likely * clicks
        wrong += likely * (clicks / 2 - 2 * (0.5 - 0.015) * apart / (n + 1)) if n else likely * clicks / 2
    assert optics.gain(mu) == pytest.approx(gain, rel=1e-9)
    assert optics.error(mu) * gain == pytest.approx(wrong, rel=1e-9)


def test_the_example_of_ma_fung_lo_reaches_some_60_db_one_way() -> None:
    best = [max(ma_fung_lo(db).rate(mu / 100) for mu in range(1, 60)) for db in (0, 30, 60)]
    assert best[0] > best[1] > best[2] > 0
    reach = cut_off(lambda db: max(ma_fung_lo(db).rate(mu / 100) for mu in range(1, 60)), 0, 100)
    assert 60 < reach < 65


def test_neumanns_nine_pairs_give_about_the_published_key() -> None:
    assert bbm92(9, qber_of(0.86), f=1.1) == pytest.approx(1.04, abs=0.01)
    assert bbm92(9, qber_of(0.86), f=1.0) == pytest.approx(1.21, abs=0.01)
