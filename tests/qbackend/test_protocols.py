"""Protocols in one line: both ends of a talk, with perfect pairs between them."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest

from qkdbus_qbackend.emulators.port import A22, A67, LINEAR, PAULI, Pairs, X, Y, Z
from qkdbus_qbackend.failure import Broken
from qkdbus_qbackend.protocols import PROTOCOLS, SameBases, fits
from qkdbus_qbackend.protocols.sifting import draw
from qkdbus_qbackend.protocols.talk import Hear, Measure, Tell, converse, drive


class Twins:
    """Perfect pairs: equal outcomes in Z and X, opposite ones in Y, independent ones in different bases."""

    def __init__(self, count: int) -> None:
        self.hidden = np.frombuffer(os.urandom(3 * count), np.uint8).reshape(3, count) & 1
        self.asked: list[Any] = []

    def one(self, bases: Any) -> Any:
        self.asked.append(bases)
        return self.hidden[bases, np.arange(len(bases))]

    def other(self, bases: Any) -> Any:
        return self.one(bases) ^ (bases == Y)


SAME_BASES = [protocol for protocol in PROTOCOLS.values() if isinstance(protocol, SameBases)]
both = pytest.mark.parametrize("protocol", SAME_BASES, ids=lambda protocol: protocol.name)


@both
@pytest.mark.parametrize("count", [0, 1, 7, 8, 512, 10_001])
def test_both_ends_sift_the_same_bits(protocol: Any, count: int) -> None:
    twins, pairs = Twins(count), Pairs(4, count, 77)
    ours, theirs = converse(
        protocol.source(pairs, os.urandom), protocol.sink(pairs, os.urandom), (twins.one, twins.other)
    )
    assert (ours.bits == theirs.bits).all()
    assert ours.created == theirs.created == count and ours.batch == theirs.batch == 4
    assert ours.sent == theirs.sent == 77 and ours.disclosed == theirs.disclosed == protocol.disclosed_share == 0
    mine, yours = twins.asked
    assert len(ours.bits) == np.count_nonzero(mine == yours)


@both
def test_as_many_are_kept_as_expected(protocol: Any) -> None:
    count = 200_000
    twins, pairs = Twins(count), Pairs(0, count)
    ours, _ = converse(protocol.source(pairs, os.urandom), protocol.sink(pairs, os.urandom), (twins.one, twins.other))
    sigma = math.sqrt(protocol.kept * (1 - protocol.kept) * count)
    assert abs(len(ours.bits) - protocol.kept * count) < 5 * sigma
    assert protocol.kept == {"bbm92": 1 / 2, "e91-same-bases": 1 / 3}[protocol.name]


@both
def test_no_end_says_its_bases_before_it_has_measured(protocol: Any) -> None:
    pairs = Pairs(0, 64)
    for end in (protocol.source, protocol.sink):
        talk = end(pairs, os.urandom)
        wish = next(talk)
        assert isinstance(wish, Measure)
        wish = talk.send(np.zeros(64, np.uint8))
        # the sink speaks first; the source has to hear it before it says anything
        assert isinstance(wish, Tell if end == protocol.sink else Hear)


@both
def test_what_is_said_does_not_depend_on_the_outcomes(protocol: Any) -> None:
    pairs = Pairs(0, 64)
    said = []
    for outcome in (0, 1):
        talk = protocol.sink(pairs, lambda count: bytes(range(7, 7 + count)))
        next(talk)
        said.append(talk.send(np.full(64, outcome, np.uint8)).body)
    assert said[0] == said[1]


@both
@pytest.mark.parametrize("body", [b"", b"\0", b"\xff" * 16, b"\xff" * 100])
def test_bases_that_cannot_be_are_refused(protocol: Any, body: bytes) -> None:
    talk = protocol.source(Pairs(0, 64), os.urandom)
    next(talk)
    talk.send(np.zeros(64, np.uint8))
    with pytest.raises(Broken):
        talk.send(body)


@pytest.mark.parametrize(("bases", "count"), [(2, 300_000), (3, 300_000)])
def test_every_basis_is_drawn_equally_often(bases: Any, count: int) -> None:
    drawn = draw(count, bases, os.urandom)
    seen = np.bincount(drawn, minlength=3)
    sigma = math.sqrt(count / bases * (1 - 1 / bases))
    assert drawn.shape == (count,) and abs(seen[:bases] - count / bases).max() < 5 * sigma
    assert seen[bases:].sum() == 0 and {Z, X, Y} == {0, 1, 2}


def test_the_octet_that_would_favour_a_basis_is_drawn_again() -> None:
    octets = bytes([255] * 100 + [0, 1, 2, 3, 254])
    assert draw(5, 3, lambda count: (octets * 40)[:count] if count > 20 else bytes([0, 1, 2, 3, 254] * 9)).max() <= 2
    every = draw(255 * 4, 3, lambda count: (bytes(range(256)) * (count // 256 + 1))[:count])
    assert np.bincount(every[: 255 * 4]).tolist() == [340, 340, 340]


def test_ends_that_wait_for_each_other_are_found_out() -> None:
    def deaf() -> Any:
        yield Hear()

    with pytest.raises(Broken, match="waits"):
        converse(deaf(), deaf())


async def test_a_talk_can_be_driven_over_any_channel() -> None:
    def talk() -> Any:
        yield Tell(b"one")
        heard = yield Hear()
        return heard + b"!"

    told: list[bytes] = []

    async def hear() -> bytes:
        return b"two"

    assert await drive(talk(), told.append, hear) == b"two!"
    assert told == [b"one"]


# -- which protocol runs where


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_says_what_it_runs_on_and_what_becomes_of_it(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.name == name and 0 < protocol.kept <= 1
    assert 0 <= protocol.disclosed_share <= 1 - protocol.kept
    if protocol.signal == "pairs":
        assert protocol.bases <= PAULI or protocol.bases <= LINEAR


@pytest.mark.parametrize(
    ("protocol", "emulator", "bases", "able"),
    [
        ("bbm92", "ideal", PAULI, True),
        ("e91-same-bases", "ideal", PAULI, True),
        ("e91", "ideal", PAULI, False),
        ("bbm92", "simulaqron", PAULI, True),
        ("e91", "simulaqron", PAULI, False),
        ("e91", "simulaqron", PAULI | LINEAR, True),
        ("e91-same-bases", "photonic", LINEAR, False),
        ("e91-same-bases", "photonic", LINEAR | {Y}, True),
        ("e91", "photonic", frozenset(), False),
    ],
)
def test_an_emulator_has_to_measure_in_every_basis(protocol: str, emulator: str, bases: Any, able: bool) -> None:
    said = fits(PROTOCOLS[protocol], emulator, bases, has_pulses=False)
    assert (said == "") == able and (able or (protocol in said and f'"{emulator}"' in said))


def test_the_refusal_names_the_angles_and_what_would_do() -> None:
    said = fits(PROTOCOLS["e91"], "simulaqron", PAULI, has_pulses=False)
    assert said == (
        'e91 measures at 22.5 degrees and 67.5 degrees, which emulator "simulaqron" cannot: take "photonic", '
        'or simulaqron with engine "qutip" or "projectq"'
    )
    assert "circular" in fits(PROTOCOLS["e91-same-bases"], "photonic", frozenset({Z, X, A22, A67}), has_pulses=False)


class Pulsed:
    """A protocol of weak pulses, as far as `fits` looks at it."""

    name, signal = "bb84-decoy", "pulses"


def test_weak_pulses_are_asked_of_an_emulator_that_has_them() -> None:
    pulsed: Any = Pulsed()
    assert fits(pulsed, "photonic", frozenset(), has_pulses=True) == ""
    assert fits(pulsed, "ideal", PAULI, has_pulses=False) == (
        'bb84-decoy needs weak pulses, which emulator "ideal" does not have: take "photonic"'
    )
