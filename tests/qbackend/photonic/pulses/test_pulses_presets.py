"""Published systems, emulated: what is detected is what the formulas expect of them."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.network.photonic import PULSES, Photonic
from qkdbus.network.presets import PRESETS
from qkdbus.physics.expected import clicks
from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.emulators.port import X, Z

NAMES = [name for name, preset in PRESETS.items() if preset.protocol in PULSES]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", sorted(PULSES))
async def test_a_published_system_detects_what_the_formulas_expect(pulse_bench: Any, name: str, protocol: str) -> None:
    setup = Photonic(preset=name).setup(protocol)
    assert isinstance(setup, PulseSetup)
    seen = await pulse_bench(setup).run(500_000)
    total, counts = clicks(setup)
    # The formula for dead time knows no slots: one slot less of some tens.
    slots = setup.dead_time_s * setup.rate_hz
    within = 5 / seen.clicks.count**0.5 + (0.5 / slots if slots else 0)
    assert seen.clicks.count * setup.rate_hz / seen.sent == pytest.approx(total, rel=within)
    for basis, right, wrong in ((Z, counts.n_z, counts.m_z), (X, counts.n_x, counts.m_x)):
        expected = sum(wrong) / sum(right)
        assert abs(seen.qber_off(expected, basis=basis)) < 4.5
        count = seen.errors(basis=basis)[1]
        assert count / seen.clicks.count == pytest.approx(sum(right) / total, abs=2.3 / seen.clicks.count**0.5)
