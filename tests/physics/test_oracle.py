"""Our closed forms against an independent implementation: TNO's quantum key rate package (Apache-2.0).

Its dark counts are per detector and mean something else than Y0, so decoy BB84 is compared where they do not matter.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from qkdbus.physics.decoy import Optics, rate_infinite
from qkdbus.physics.entangled import PairOptics
from qkdbus.physics.setup import transmittance

pytest.importorskip("tno.quantum.communication.qkd_key_rate")

from tno.quantum.communication.qkd_key_rate.quantum import standard_detector
from tno.quantum.communication.qkd_key_rate.quantum.bb84 import BB84FullyAsymptoticKeyRateEstimate
from tno.quantum.communication.qkd_key_rate.quantum.bbm92 import compute_gain_and_error_rate

DARK = 1e-9  # per pulse: nothing, next to the clicks of light


@pytest.mark.parametrize("km", [0, 20, 50])
@pytest.mark.parametrize("mu", [0.2, 0.48, 0.7])
def test_the_rate_with_infinitely_many_decoys_is_tnos(km: float, mu: float) -> None:
    wrong = 0.033
    detector = standard_detector.customise(
        dark_count_rate=DARK, efficiency_party=0.045, polarization_drift=math.asin(math.sqrt(wrong)), error_detector=0
    )
    theirs = BB84FullyAsymptoticKeyRateEstimate(detector=detector).compute_rate(mu=mu, attenuation=0.21 * km)
    # they reckon with q = 1 (the rarer basis is hardly used) and f = 1, and with double clicks
    ours = rate_infinite(Optics(transmittance(0.21 * km) * 0.045, DARK, wrong), mu, q=1.0, f=1.0)
    assert ours == pytest.approx(theirs, rel=0.01)


@settings(max_examples=50)
@given(some.floats(0, 30), some.floats(0, 30), some.floats(0.01, 0.5), some.floats(0, 1e-4), some.floats(0, 0.1))
def test_gain_and_error_of_a_down_conversion_source_are_tnos(
    here: float, there: float, mu: float, dark: float, wrong: float
) -> None:
    detector = standard_detector.customise(dark_count_rate=dark, efficiency_party=0.145, error_detector=wrong)
    gain, error = compute_gain_and_error_rate(detector, detector, here, there, mu / 2)
    optics = PairOptics((0.145 * transmittance(here), 0.145 * transmittance(there)), (dark, dark), wrong)
    assert optics.gain(mu) == pytest.approx(gain, rel=1e-6, abs=1e-15)
    assert optics.error(mu) == pytest.approx(error, rel=1e-6)
