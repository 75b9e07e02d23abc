"""No formula promises more than the repeaterless bound."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from qkdbus.physics.bounds import cut_off, plob
from qkdbus.physics.decoy import Optics, rate_infinite, rate_vacuum_and_weak
from qkdbus.physics.entangled import PairOptics
from qkdbus.physics.entropy import entropy, odd, one_way_share
from qkdbus.physics.expected import Terms, expected
from qkdbus.physics.setup import PairSetup, PulseSetup, transmittance

IDEAL = Terms(efficiency=1.0)
BLOCK = Terms(efficiency=1.0, block=1 << 20, disclose=0.1)


def _pulses(draw: some.DrawFn, three: bool) -> PulseSetup:
    mu = draw(some.floats(0.05, 1.0))
    nu = mu * draw(some.floats(0.05, 0.9))
    first, second = draw(some.floats(0.05, 0.9)), draw(some.floats(0.1, 0.9))
    rest = 1 - first
    return PulseSetup(
        rate_hz=1e9,
        intensities=(mu, nu, 0.0) if three else (mu, nu),
        probabilities=(first, rest * second, rest * (1 - second)) if three else (first, rest),
        p_z_source=draw(some.floats(0.1, 0.99)),
        p_z_receiver=draw(some.floats(0.1, 0.99)),
        loss_db=draw(some.floats(0, 60)),
        efficiency=draw(some.floats(0.01, 1.0)),
        dark_probability=draw(some.sampled_from([0.0, 1e-9, 1e-6, 1e-4])),
        misalignment=draw(some.floats(0, 0.1)),
    )


@some.composite
def pulse_setups(draw: some.DrawFn) -> tuple[PulseSetup, str]:
    three = draw(some.booleans())
    return _pulses(draw, three), "bb84-decoy" if three else "bb84-one-decoy"


pair_setups = some.builds(
    PairSetup,
    rate_hz=some.floats(1, 1e9),
    loss_db=some.tuples(some.floats(0, 40), some.floats(0, 40)),
    efficiency=some.tuples(some.floats(0.01, 1), some.floats(0.01, 1)),
    dark_rate_hz=some.tuples(some.floats(0, 1e5), some.floats(0, 1e5)),
    window_s=some.sampled_from([1e-10, 1e-9]),
    visibility=some.floats(0.8, 1),
)


@settings(max_examples=300)
@given(pulse_setups(), some.sampled_from([IDEAL, BLOCK]))
def test_no_rate_of_pulses_exceeds_the_plob_bound(case: tuple[PulseSetup, str], terms: Terms) -> None:
    setup, protocol = case
    assert expected(setup, protocol, terms).secret_hz <= setup.rate_hz * plob(setup.eta) * (1 + 1e-9)


@settings(max_examples=300)
@given(pair_setups, some.sampled_from(["bbm92", "e91", "e91-same-bases"]), some.sampled_from([IDEAL, BLOCK]))
def test_no_rate_of_pairs_exceeds_the_plob_bound(setup: PairSetup, protocol: str, terms: Terms) -> None:
    bound = setup.rate_hz * plob(min(1.0, setup.eta[0] * setup.eta[1]))
    assert expected(setup, protocol, terms).secret_hz <= bound * (1 + 1e-9)


@given(some.floats(1e-6, 1), some.floats(0, 1e-5), some.floats(0, 0.1), some.floats(0.05, 1), some.floats(0.05, 0.9))
def test_no_closed_form_exceeds_the_plob_bound(eta: float, dark: float, wrong: float, mu: float, part: float) -> None:
    optics = Optics(eta, dark, wrong)
    bound = plob(eta) * (1 + 1e-9)
    assert rate_infinite(optics, mu, q=1, f=1) <= bound
    assert rate_vacuum_and_weak(optics, mu, mu * part, q=1, f=1) <= bound
    pairs = PairOptics((eta, eta), (dark, dark), wrong)
    assert pairs.rate(mu, q=1, f=1) <= bound


@pytest.mark.parametrize(("db", "bits"), [(2.2, 1.331), (10, 0.1520), (20, 1.450e-2), (71.9, 9.315e-8)])
def test_plob_is_that_of_the_table(db: float, bits: float) -> None:
    assert plob(transmittance(db)) == pytest.approx(bits, rel=4e-4)


def test_plob_has_its_limits() -> None:
    assert plob(0) == 0
    assert plob(1) == math.inf
    with pytest.raises(ValueError, match="no transmittance"):
        plob(1.1)


@pytest.mark.parametrize(("f", "error"), [(1.0, 0.1100), (1.1, 0.1023), (1.16, 0.0981), (1.22, 0.0942)])
def test_the_key_ends_at_the_known_error_rates(f: float, error: float) -> None:
    assert cut_off(lambda e: one_way_share(e, e, f), 0, 0.2, 1e-6) == pytest.approx(error, abs=6e-5)


def test_a_cut_off_that_is_not_there_is_not_made_up() -> None:
    with pytest.raises(ValueError, match="no cut-off between 0 and 1"):
        cut_off(lambda _: 1.0, 0, 1)
    with pytest.raises(ValueError, match="no cut-off"):
        cut_off(lambda _: -1.0, 0, 1)


@given(some.floats(0, 1), some.floats(0, 1))
def test_two_flips_differ_when_just_one_happens(a: float, b: float) -> None:
    assert odd(a, b) == pytest.approx(a * (1 - b) + b * (1 - a), abs=1e-12)


def test_entropy_is_what_it_is() -> None:
    assert entropy(0.5) == 1
    assert entropy(0) == entropy(1) == 0
    assert entropy(0.11) == pytest.approx(0.49992, abs=1e-5)
    bad: Any = -0.1
    with pytest.raises(ValueError, match="no probability"):
        entropy(bad)
