"""Bases at 22.5 and 67.5 degrees, and the CHSH test: what SimulaQron's qutip and projectq engines can, and its
stabilizer engine cannot."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from qkdbus.errors import Refused
from qkdbus.network.model import LinkSettings
from qkdbus_qbackend.emulators.port import A22, A67, LINEAR, PAULI, X, Z
from qkdbus_qbackend.emulators.simulaqron import channels, library
from qkdbus_qbackend.emulators.simulaqron.channels import channel_of
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.port_client import SimulaqronEmulator, bases_of
from qkdbus_qbackend.emulators.simulaqron.registers import NO_TAP, SINK, SOURCE, Pauli, Registers, Tap

pytestmark = pytest.mark.filterwarnings("ignore:Importing functions:DeprecationWarning")  # qutip's own business

DEGREES = {Z: 0.0, A22: 22.5, X: 45.0, A67: 67.5}
TURNING = [
    "qutip",  # in the dev group: this one has to run
    pytest.param("projectq", marks=pytest.mark.skipif(find_spec("projectq") is None, reason="not installed")),
]


@pytest.fixture(params=TURNING)
def engine(request: pytest.FixtureRequest) -> str:
    library.require(request.param)
    return str(request.param)


@pytest.fixture
def registers() -> Registers:
    return Registers(QkdVirtualNode("Alice", 1000, lambda _peer, _link: None), random.Random(7))


def correlation(
    registers: Registers, engine: str, bases: tuple[int, int], pairs: int, tap: Tap = NO_TAP, noise: Pauli | None = None
) -> float:
    """E = (same - different) / pairs."""
    same = 0
    for number in range(pairs):
        pair = registers.make(engine, noise or Pauli(), tap)
        order = (SOURCE, SINK) if number % 2 else (SINK, SOURCE)  # who measures first must not matter
        outcomes = [registers.measure(pair, end, bases[end]) for end in order]
        same += outcomes[0] == outcomes[1]
    return 2 * same / pairs - 1


def chsh(registers: Registers, engine: str, pairs: int, tap: Tap = NO_TAP) -> tuple[float, float]:
    """S and its standard error (physics reference, section 5): pairs of 0, 45 degrees with 22.5, 67.5 degrees."""
    share = pairs // 4
    found = {(a, b): correlation(registers, engine, (a, b), share, tap) for a in (Z, X) for b in (A22, A67)}
    s = found[Z, A22] - found[Z, A67] + found[X, A22] + found[X, A67]
    return s, math.sqrt(sum(1 - e**2 for e in found.values()) / share)


def test_equal_turned_bases_agree(registers: Registers, engine: str) -> None:
    for basis in (A22, A67):
        assert correlation(registers, engine, (basis, basis), 40) == 1


def test_bases_at_a_right_angle_disagree(registers: Registers, engine: str) -> None:
    """22.5 and 67.5 degrees are 45 apart: independent; turned there and back, a state is what it was."""
    assert abs(correlation(registers, engine, (A22, A67), 120)) < 5 / math.sqrt(120)


@pytest.mark.parametrize("bases", [(Z, A22), (Z, A67), (X, A67)])
def test_outcomes_differ_with_the_squared_sine_of_the_angle(
    registers: Registers, engine: str, bases: tuple[int, int]
) -> None:
    pairs, predicted = 160, math.cos(2 * math.radians(DEGREES[bases[0]] - DEGREES[bases[1]]))
    error = math.sqrt((1 - predicted**2) / pairs)
    assert abs(correlation(registers, engine, bases, pairs) - predicted) < 5 * error


def test_the_pairs_violate_the_bell_inequality(registers: Registers, engine: str) -> None:
    s, error = chsh(registers, engine, 600)
    print(f"\n{engine}: S = {s:.3f} +- {error:.3f}")
    assert abs(s - 2 * math.sqrt(2)) < 5 * error
    assert s > 2 + 2 * error  # 7 errors away, were it not for chance


def test_an_eavesdropper_ends_the_violation(registers: Registers, engine: str) -> None:
    """S = sqrt(2) for every angle at which she measures (physics reference, section 5)."""
    s, error = chsh(registers, engine, 600, Tap(intercept=1.0, angles=(0.0, 22.5, 45.0, 67.5)))
    print(f"\n{engine}: S = {s:.3f} +- {error:.3f} with everything intercepted")
    assert abs(s - math.sqrt(2)) < 5 * error
    assert s < 2 * math.sqrt(2) - 4.5 * error  # far from what the undisturbed pairs give


def test_the_stabilizer_engine_refuses_what_it_cannot_turn(registers: Registers) -> None:
    pair = registers.make("stabilizer", Pauli())
    with pytest.raises(Refused, match=r"cannot turn by 22\.5 degrees: choose qutip or projectq"):
        registers.measure(pair, SOURCE, A22)
    registers.drop(pair)


def test_e91_gets_an_engine_that_turns_and_the_others_the_fast_one() -> None:
    e91, bbm92 = LinkSettings(protocol="e91"), LinkSettings(protocol="bbm92")
    assert channel_of(e91, channels.Channel().eve).engine in ("projectq", "qutip")
    assert channel_of(bbm92, channels.Channel().eve).engine == "stabilizer"
    assert (bases_of(e91), bases_of(bbm92)) == (PAULI | LINEAR, PAULI)
    assert bases_of(LinkSettings(protocol="bbm92", engine="qutip")) == PAULI | LINEAR


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is installed but the stabilizer."""

    def missing(name: str) -> None:
        raise RuntimeError(f"no {name}")  # what SimulaQron raises

    monkeypatch.setattr(library, "_READY", {"stabilizer"})
    monkeypatch.setattr("importlib.import_module", missing)


@pytest.mark.usefixtures("bare")
def test_e91_without_an_engine_says_what_to_install() -> None:
    fault = channel_of(LinkSettings(protocol="e91"), channels.Channel().eve).fault
    assert fault.startswith("e91 needs an engine that turns freely")
    assert "pip install 'qkdbus[qutip]'" in fault


def test_an_emulator_of_qubits_has_no_weak_pulses(nobody: Callable[[], SimulaqronEmulator]) -> None:
    emulator = nobody()
    with pytest.raises(Refused, match="SimulaQron has no weak pulses"):
        emulator.pulse_line("source", "Bob", "job")
    assert emulator.link_time() == 0.0
    assert emulator.bases == PAULI


@pytest.fixture
def nobody() -> Callable[[], SimulaqronEmulator]:
    class Nobody:
        async def ask(self, method: str, request: object, *, patience: float | None = None, trace: bytes = b"") -> None:
            raise AssertionError("nothing is asked")

    return lambda: SimulaqronEmulator(Nobody())  # type: ignore[arg-type]
