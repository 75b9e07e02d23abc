"""Closed forms of decoy BB84 against published tables, and against what they must obey."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qkdbus.physics.bounds import cut_off
from qkdbus.physics.decoy import (
    Optics,
    Single,
    photon_share,
    rate,
    rate_infinite,
    rate_vacuum_and_weak,
    vacuum_and_weak,
)
from qkdbus.physics.setup import transmittance

MU, NU = 0.48, 0.05
# km -> Q_mu, E_mu, R with infinitely many decoys, R with vacuum + weak decoys; q = 1/2, f = 1.22
GYS_TABLE = {
    0: (2.1370e-2, 0.0330, 2.5546e-3, 2.4142e-3),
    20: (8.1802e-3, 0.0331, 9.6245e-4, 9.0777e-4),
    50: (1.9250e-3, 0.0334, 2.2260e-4, 2.0962e-4),
    80: (4.5289e-4, 0.0348, 4.9899e-5, 4.6847e-5),
    100: (1.7326e-4, 0.0376, 1.7184e-5, 1.6020e-5),
    120: (6.6929e-5, 0.0449, 4.8146e-6, 4.3686e-6),
    130: (4.1920e-5, 0.0519, 1.9557e-6, 1.6788e-6),
    140: (2.6500e-5, 0.0630, 2.4647e-7, 7.3779e-8),
}  # fmt: skip


def gys(km: float) -> Optics:
    """The system of Gobby, Yuan, Shields (2004) as Ma et al. (2005) compute with it."""
    return Optics(transmittance(0.21 * km) * 0.045, 1.7e-6, 0.033)


@pytest.mark.parametrize("km", GYS_TABLE)
def test_gains_errors_and_rates_of_gys_are_those_of_the_table(km: int) -> None:
    gain, error, infinite, weak = GYS_TABLE[km]
    optics = gys(km)
    assert optics.gain(MU) == pytest.approx(gain, rel=1e-4)
    assert optics.error(MU) == pytest.approx(error, abs=6e-5)
    assert rate_infinite(optics, MU) == pytest.approx(infinite, rel=2e-4)
    assert rate_vacuum_and_weak(optics, MU, NU) == pytest.approx(weak, rel=2e-4)


def test_gys_reaches_142_km_with_infinitely_many_decoys() -> None:
    reach = cut_off(lambda km: rate_infinite(gys(km), MU), 0, 200)
    assert reach == pytest.approx(142.05, abs=0.2)  # published 142.05
    assert reach == pytest.approx(142.01, abs=0.01)


def test_gys_reaches_140_6_km_with_vacuum_and_weak_decoys() -> None:
    reach = cut_off(lambda km: rate_vacuum_and_weak(gys(km), MU, NU), 0, 200)
    assert reach == pytest.approx(140.55, abs=0.2)  # published 140.55
    assert reach == pytest.approx(140.62, abs=0.01)


optics = some.builds(
    Optics,
    eta=some.floats(1e-5, 0.5),
    dark=some.floats(0, 1e-4),
    wrong=some.floats(0, 0.1),
)


@given(optics, some.floats(0.1, 0.9), some.floats(0.05, 0.9))
def test_the_decoy_bounds_hold(line: Optics, mu: float, part: float) -> None:
    nu = mu * part
    found = vacuum_and_weak(mu, nu, (line.gain(mu), line.gain(nu)), line.error(nu), line.dark)
    true = line.single()
    # Q_mu of the paper leaves out eta mu Y0: so small is the room for a bound to fail in
    assert found.yield_ <= true.yield_ * (1 + 1e-3)
    assert found.error >= true.error * (1 - 1e-3) or found.yield_ == 0


@given(optics, some.floats(0.1, 0.9))
def test_a_fainter_decoy_tells_more(line: Optics, mu: float) -> None:
    yields = [
        vacuum_and_weak(mu, nu, (line.gain(mu), line.gain(nu)), line.error(nu), line.dark).yield_
        for nu in (mu / 2, mu / 4, mu / 8)
    ]
    assert yields[0] <= yields[1] * (1 + 1e-6) <= yields[2] * (1 + 2e-6)


def test_gains_that_single_photons_cannot_give_leave_no_yield() -> None:
    # photon-number splitting: the decoy, with fewer pulses of several photons, clicks far too seldom
    found = vacuum_and_weak(0.5, 0.1, (1e-2, 1e-5), 0.01, 0.0)
    assert found == Single(0.0, 0.5)
    assert rate(0.5, 1e-2, 0.01, found) < 0


def test_shares_of_photon_numbers_add_up() -> None:
    shares = [photon_share(n, (0.5, 0.1, 0.0), (0.5, 0.3, 0.2)) for n in range(20)]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(0.5 * math.exp(-0.5) + 0.3 * math.exp(-0.1) + 0.2)
