"""Eve in SimulaQron's channel: she measures the travelling qubit, and it shows."""

from __future__ import annotations

import random
from itertools import product

import pytest

from qkdbus.network.attacks import objection, possible
from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper
from qkdbus_qbackend.emulators.port import X, Y, Z
from qkdbus_qbackend.emulators.simulaqron import library
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.registers import SINK, SOURCE, Pauli, Registers, Tap

pytestmark = pytest.mark.filterwarnings("ignore:Importing functions:DeprecationWarning")  # qutip's own business

# 5 standard errors leave a false alarm in 170,000 runs where outcomes are rarest (0.1 of 120); she would be seen to do
# nothing, or twice as much, all the same.
PAIRS = {"stabilizer": 600, "qutip": 120}
FEW = 30
CLEAN = Pauli()


@pytest.fixture(params=PAIRS)
def engine(request: pytest.FixtureRequest) -> str:
    library.require(request.param)
    return str(request.param)


@pytest.fixture
def registers() -> Registers:
    return Registers(QkdVirtualNode("Alice", 1000, lambda _peer, _link: None), random.Random(7))


def qber(
    registers: Registers, engine: str, tap: Tap, bases: tuple[int, ...], pairs: int = 0, noise: Pauli = CLEAN
) -> float:
    """Share of pairs that differ where both ends measure in one of `bases`, in turn; without Eve there are none."""
    pairs, wrong = pairs or PAIRS[engine], 0
    for number in range(pairs):
        pair, basis = registers.make(engine, noise, tap), bases[number % len(bases)]
        order = (SOURCE, SINK) if number % 3 else (SINK, SOURCE)
        one, other = (registers.measure(pair, end, basis) for end in order)
        wrong += one ^ other ^ (basis == Y)
    return wrong / pairs


def within(found: float, predicted: float, pairs: int, sigmas: float = 5.0) -> bool:
    return bool(abs(found - predicted) <= sigmas * (predicted * (1 - predicted) / pairs) ** 0.5)


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_intercept_resend_costs_a_quarter_of_its_share(registers: Registers, engine: str, share: float) -> None:
    found = qber(registers, engine, Tap(intercept=share), (Z, X))
    print(f"\n{engine}, r = {share}: QBER {found:.4f}, r/4 = {share / 4}")
    assert within(found, share / 4, PAIRS[engine])


def test_in_her_own_basis_she_is_not_seen(registers: Registers, engine: str) -> None:
    for angle, basis in ((0.0, Z), (45.0, X), (90.0, Z), (-45.0, X)):
        tap = Tap(intercept=1.0, angles=(angle,))
        assert qber(registers, engine, tap, (basis,), FEW) == 0, "equal bases still agree: she sends on what she found"
    assert within(qber(registers, engine, Tap(intercept=1.0, angles=(0.0,)), (X,), 4 * FEW), 0.5, 4 * FEW)


def test_in_the_basis_in_between_she_costs_a_quarter_in_both(registers: Registers) -> None:
    """Breidbart's basis, at 22.5 degrees: QBER 2 cos^2 sin^2 (pi/8) = 1/4 in Z and X alike."""
    library.require("qutip")
    assert within(qber(registers, "qutip", Tap(intercept=1.0, angles=(22.5,)), (Z, X)), 0.25, PAIRS["qutip"])


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_jammed_half_tells_nothing_in_any_basis(registers: Registers, engine: str, share: float) -> None:
    assert within(qber(registers, engine, Tap(jam=share), (Z, X, Y)), share / 2, PAIRS[engine])


def test_her_errors_and_the_channels_add_up(registers: Registers) -> None:
    """e = (1 - r) e0 + r (1/4 + e0 / 2) (physics reference, section 5), e0 after her."""
    noise, share = Pauli(x=0.05, y=0.05, z=0.05), 0.4
    before = noise.x + noise.y
    predicted = (1 - share) * before + share * (0.25 + before / 2)
    found = qber(registers, "stabilizer", Tap(intercept=share), (Z, X), noise=noise)
    assert within(found, predicted, PAIRS["stabilizer"])


def test_no_register_is_left_of_a_pair_that_she_met(registers: Registers, engine: str) -> None:
    for bases in product((Z, X), repeat=2):
        pair = registers.make(engine, Pauli(), Tap(intercept=1.0, jam=1.0))
        for end in (SINK, SOURCE):
            registers.measure(pair, end, bases[end])
    assert len(registers) == 0


@pytest.mark.parametrize(
    ("link", "eve", "words"),
    [
        ({}, {"photon_number_splitting": 0.5}, ["photon-number splitting", "no weak pulses", "intercept-resend, jam"]),
        ({"engine": "qutip"}, {"beam_splitting": 0.5, "jam": 0.1}, ["beam splitting cannot", "possible there"]),
        ({}, {"intercept_resend": 1.0, "bases": (0, 22.5)}, ["cannot measure at 22.5 degrees", "engine: qutip"]),
        ({"emulator": "ideal"}, {"cut": True}, ["cutting the channel cannot", "ideal emulator", "nothing"]),
        ({"emulator": "photonic", "protocol": "bbm92"}, {"beam_splitting": 1}, ["bbm92", "no weak pulses"]),
    ],
)
def test_what_is_impossible_is_told_with_what_is_possible(
    link: dict[str, object], eve: dict[str, object], words: list[str]
) -> None:
    said = objection(LinkSettings.model_validate(link), Eavesdropper.model_validate(eve))
    assert [word for word in words if word not in said] == []


def test_what_is_possible_has_no_objection() -> None:
    everything = Eavesdropper(
        intercept_resend=0.1, bases=(10.0,), photon_number_splitting=0.1, beam_splitting=0.1, jam=0.1, cut=True
    )
    assert objection(LinkSettings(emulator="photonic", protocol="bb84-decoy"), everything) == ""
    assert objection(LinkSettings(), Eavesdropper(intercept_resend=1.0, bases=(0, 45, -45, 90), jam=1, cut=True)) == ""
    assert objection(LinkSettings(protocol="e91"), Eavesdropper(intercept_resend=1.0, bases=(22.5,))) == ""
    assert possible(LinkSettings(emulator="ideal")) == ()
