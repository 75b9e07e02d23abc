"""Outcomes come from the system's generator: no seed decides them, and forked children do not share them."""

from __future__ import annotations

import os
import random
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

from qkdbus.errors import Refused
from qkdbus_qbackend.emulators.simulaqron import chance, library
from qkdbus_qbackend.emulators.simulaqron.chance import BitPool
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.registers import SINK, SOURCE, Pauli, Registers

OUTCOMES = 64
ENGINES = [
    "stabilizer",
    "qutip",
    pytest.param("projectq", marks=pytest.mark.skipif(find_spec("projectq") is None, reason="not installed")),
]
pytestmark = pytest.mark.filterwarnings("ignore:Importing functions:DeprecationWarning")  # qutip's own business


def outcomes(engine: str) -> bytes:
    library.require(engine)
    registers = Registers(QkdVirtualNode("Alice", 1000, lambda _peer, _link: None), random.Random(1))
    pairs = [registers.make(engine, Pauli()) for _ in range(OUTCOMES)]
    return bytes(registers.measure(pair, end, 0) for pair, end in zip(pairs, [SOURCE, SINK] * OUTCOMES, strict=False))


@pytest.mark.parametrize("engine", ENGINES)
def test_seeds_do_not_decide_the_outcomes(engine: str) -> None:
    seen = set()
    state = random.getstate()
    try:
        for _ in range(3):
            random.seed(5)
            np.random.seed(5)
            seen.add(outcomes(engine))
    finally:
        random.setstate(state)
    assert len(seen) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_forked_children_draw_different_outcomes(engine: str) -> None:
    outcomes(engine)  # the parent's pool is not empty when it forks
    drawn = [outcomes(engine)]
    for _ in range(3):
        drawn.append(_in_a_child(engine))
    assert len(set(drawn)) == 4


def _in_a_child(engine: str) -> bytes:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, outcomes(engine))
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    drawn = os.read(read, OUTCOMES)
    os.close(read)
    assert len(drawn) == OUTCOMES
    return drawn


def test_a_pool_serves_exactly_the_bits_of_its_entropy() -> None:
    asked = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return bytes([0b11110000]) * count

    pool = BitPool(entropy)
    bits = [pool.bit() for _ in range(8 * 1024)]
    assert asked == [1024]
    assert sum(bits) == 4 * 1024
    pool.bit()
    assert asked == [1024, 1024]


def test_a_pool_draws_other_numbers_in_their_range() -> None:
    drawn = {BitPool().randint(2, 4) for _ in range(200)}
    assert drawn == {2, 3, 4}


def test_qutip_chooses_with_the_given_probability() -> None:
    choose = chance._NumpyChoice.choice
    ones = sum(choose([0, 1], p=[0.8, 0.2]).item() for _ in range(4000))
    assert abs(ones / 4000 - 0.2) < 5 * (0.16 / 4000) ** 0.5
    assert {choose([0, 1], p=[1.0, 0.0]).item() for _ in range(50)} == {0}
    assert {choose([0, 1], p=[0.0, 1.0]).item() for _ in range(50)} == {1}


def test_a_release_that_draws_in_another_way_is_noticed() -> None:
    with pytest.raises(ImportError, match="source of chance"):
        chance.secure_stabilizer(ModuleType("a_changed_module"))


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(Refused, match="stabilizer, projectq, qutip"):
        library.require("abacus")


def test_an_engine_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise RuntimeError(f"no {name}")  # what SimulaQron raises

    monkeypatch.setattr(library, "_READY", {"stabilizer"})
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(Refused, match=r"pip install 'qkdbus\[projectq"):
        library.require("projectq")
    with pytest.raises(Refused, match=r"pip install 'qkdbus\[qutip"):
        library.require("qutip")
