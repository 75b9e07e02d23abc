"""Pairs in SimulaQron's registers: correlations, and what a Pauli on the register does to them, per engine."""

from __future__ import annotations

import random
from importlib.util import find_spec
from itertools import product

import pytest

from qkdbus_qbackend.emulators.simulaqron import library
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.registers import SINK, SOURCE, Pauli, Registers

pytestmark = pytest.mark.filterwarnings("ignore:Importing functions:DeprecationWarning")  # qutip's own business

Z, X, Y = 0, 1, 2
MANY = {"stabilizer": 600, "qutip": 150, "projectq": 150}
ENGINES = [
    "stabilizer",
    "qutip",  # in the dev group: this one has to run
    pytest.param("projectq", marks=pytest.mark.skipif(find_spec("projectq") is None, reason="not installed")),
]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    library.require(request.param)
    return str(request.param)


@pytest.fixture
def registers() -> Registers:
    node = QkdVirtualNode("Alice", 1000, lambda _peer, _link: None)
    return Registers(node, random.Random(7))


def disagreements(registers: Registers, engine: str, pauli: Pauli, bases: tuple[int, int], pairs: int) -> float:
    """The share of pairs whose two outcomes differ."""
    wrong = 0
    for number in range(pairs):
        pair = registers.make(engine, pauli)
        first, second = (SOURCE, SINK) if number % 2 else (SINK, SOURCE)  # the order must not matter
        outcomes = [registers.measure(pair, end, bases[end]) for end in (first, second)]
        wrong += outcomes[0] != outcomes[1]
    return wrong / pairs


def test_equal_bases_agree_and_y_disagrees(registers: Registers, engine: str) -> None:
    assert disagreements(registers, engine, Pauli(), (Z, Z), 40) == 0
    assert disagreements(registers, engine, Pauli(), (X, X), 40) == 0
    assert disagreements(registers, engine, Pauli(), (Y, Y), 40) == 1


def test_different_bases_tell_nothing(registers: Registers, engine: str) -> None:
    pairs = MANY[engine]
    for mine, theirs in product((Z, X, Y), repeat=2):
        if mine != theirs:
            share = disagreements(registers, engine, Pauli(), (mine, theirs), pairs // 2)
            assert abs(share - 0.5) < 5 * (0.25 / (pairs // 2)) ** 0.5


def test_each_outcome_alone_is_even(registers: Registers, engine: str) -> None:
    pairs = MANY[engine]
    for basis in (Z, X, Y):
        made = [registers.make(engine, Pauli()) for _ in range(pairs // 4)]
        ones = sum(registers.measure(pair, SINK, basis) for pair in made)
        assert abs(ones / len(made) - 0.5) < 5 * (0.25 / len(made)) ** 0.5
        for pair in made:
            registers.drop(pair)


@pytest.mark.parametrize(
    ("pauli", "flips"),
    [
        (Pauli(x=1.0), {Z: 1, X: 0, Y: 1}),
        (Pauli(y=1.0), {Z: 1, X: 1, Y: 0}),
        (Pauli(z=1.0), {Z: 0, X: 1, Y: 1}),
    ],
)
def test_a_pauli_on_the_register_flips_the_two_other_bases(
    registers: Registers, engine: str, pauli: Pauli, flips: dict[int, int]
) -> None:
    for basis, flipped in flips.items():
        expected = flipped ^ (basis == Y)  # Y and Y disagree without noise
        assert disagreements(registers, engine, pauli, (basis, basis), 20) == expected


def test_a_noisy_channel_changes_the_qber_of_each_basis_as_predicted(registers: Registers, engine: str) -> None:
    noise, pairs = Pauli(x=0.50, y=0.05, z=0.25), MANY[engine]
    predicted = {Z: noise.x + noise.y, X: noise.y + noise.z, Y: noise.x + noise.z}
    for basis, qber in predicted.items():
        share = disagreements(registers, engine, noise, (basis, basis), pairs)
        found = 1 - share if basis == Y else share
        assert abs(found - qber) < 5 * (qber * (1 - qber) / pairs) ** 0.5


def test_a_half_is_measured_once(registers: Registers, engine: str) -> None:
    pair = registers.make(engine, Pauli())
    registers.measure(pair, SINK, Z)
    with pytest.raises(ValueError, match="measured before"):
        registers.measure(pair, SINK, Z)


def test_registers_are_given_back(registers: Registers, engine: str) -> None:
    pairs = [registers.make(engine, Pauli()) for _ in range(9)]
    assert len(registers) == 9
    for pair in pairs[:3]:
        registers.measure(pair, SOURCE, X)
        registers.measure(pair, SINK, Z)
    registers.measure(pairs[3], SOURCE, X)
    for pair in pairs:
        registers.drop(pair)
    assert len(registers) == 0


def test_the_engine_asked_for_is_the_one_used(registers: Registers, engine: str) -> None:
    pair = registers.make(engine, Pauli())
    names = {"stabilizer": "StabilizerEngine", "qutip": "QutipEngine", "projectq": "ProjectQEngine"}
    assert type(pair.register).__name__ == names[engine]
    registers.drop(pair)
