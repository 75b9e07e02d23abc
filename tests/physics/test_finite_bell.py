"""Finite-key lengths of E91: what CHSH says of phase errors, for any state and for draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from qkdbus.physics.finite import ASYMPTOTIC, FINITE, Goal, sampled
from qkdbus.physics.finite_bell import Bell, e91


def correlation(state: Any, a: float, b: float) -> float:
    """E at two polariser angles (degrees) of a two-qubit state, real density matrix of shape (4, 4)."""

    def observable(angle: float) -> Any:
        turn = 2 * math.radians(angle)
        return np.array([[math.cos(turn), math.sin(turn)], [math.sin(turn), -math.cos(turn)]])

    return float(np.trace(state @ np.kron(observable(a), observable(b))))


def test_chsh_and_errors_give_the_phase_errors_of_any_state() -> None:
    chance = np.random.default_rng(3)
    for _ in range(50):
        root = chance.normal(size=(4, 4))
        state = root @ root.T / np.trace(root @ root.T)
        e = {(a, b): correlation(state, a, b) for a in (0, 22.5, 45, 67.5) for b in (0, 22.5, 45, 67.5)}
        s = e[0, 22.5] - e[0, 67.5] + e[45, 22.5] + e[45, 67.5]
        qber = (2 - e[22.5, 22.5] - e[45, 45]) / 4
        bell = Bell(9e6, 2e6, 2e6, 2e6 * qber, s, 1e6 * s)
        truth = (2 - e[67.5, 67.5] - e[0, 0]) / 4
        assert bell.phase_errors(2e6, ASYMPTOTIC) == pytest.approx(truth)
        assert truth < bell.phase_errors(2e6, FINITE) < truth + 0.02


def test_an_eavesdropper_at_a_key_angle_is_not_taken_for_an_honest_line() -> None:
    """She measures all at 22.5 degrees: QBER 1/8 only, but phase errors 3/8. A sample's QBER would not tell."""
    bell = Bell(9e6, 2e6, 2e6, 2.5e5, math.sqrt(2), 1e6 * math.sqrt(2))
    found = e91(2e6, bell, 0, ASYMPTOTIC)
    assert found.phase_error == pytest.approx(3 / 8)
    assert found.length < sampled(2e6, 2e6, 2.5e5, 0, ASYMPTOTIC).length


def test_the_phase_errors_of_drawn_pairs_stay_below_the_bound() -> None:
    """Werner pairs, bases as in E91: bit and phase errors of the key bits drawn as the Bell state says."""
    chance, trials, pairs, visibility, goal = np.random.default_rng(4), 600, 20_000, 0.95, Goal("finite", 0.4)
    over = {"finite": 0, "asymptotic": 0}
    for _ in range(trials):
        key, test, _ = chance.multinomial(pairs, [2 / 9, 4 / 9, 3 / 9])
        noise = (1 - visibility) / 4
        bit, phase, two, _ = chance.multinomial(key, [noise, noise, noise, 1 - 3 * noise])
        signed = 2 * chance.binomial(test, (1 + visibility / math.sqrt(2)) / 2) - test
        bell = Bell(pairs, key, key, bit + two, 4 * signed / test, signed)
        for one in (goal, ASYMPTOTIC):
            over[one.security] += bell.phase_errors(key, one) < (phase + two) / key
    assert over["finite"] <= (0.4 / 4) ** 2 * trials
    assert over["asymptotic"] > 0.3 * trials
