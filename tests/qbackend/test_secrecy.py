"""Secrecy: what was counted in, the length of the key out; by protocol and by sense."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qkdbus.physics.entropy import entropy
from qkdbus.physics.finite import ASYMPTOTIC, FINITE, sampled
from qkdbus.physics.finite_decoy import DecoyCounts, decoy
from qkdbus.physics.finite_plan import expected_counts
from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.distil.secrecy import Block, by_mark, guess, hear, judge, tell, undetected, wanted
from qkdbus_qbackend.failure import Broken
from qkdbus_qbackend.protocols.chsh import Correlations
from qkdbus_qbackend.protocols.talk import converse

SETUP = PulseSetup(1e9, (0.5, 0.15), (0.7, 0.3), 0.9, 0.9, 10.0, 0.5, 1e-6, misalignment=0.01)
LEAK = 1_000_000


def counted(n_z: int = 10_000_000) -> tuple[DecoyCounts, tuple[int, ...]]:
    counts = expected_counts(SETUP, n_z)
    whole = [tuple(map(round, part)) for part in (counts.n_z, counts.n_x, counts.m_x, counts.m_z)]
    return DecoyCounts(*whole[:3]), whole[3]


def test_decoy_blocks_are_judged_by_their_counts_and_corrected_errors() -> None:
    counts, errors = counted()
    block = Block(sum(map(int, counts.n_z)), LEAK, errors)
    found = judge("bb84-one-decoy", block, counts, FINITE, SETUP)
    direct = decoy(replace(counts, m_z=errors), SETUP.intensities, SETUP.probabilities, LEAK + 64, FINITE)
    assert found.length == direct.length > 1_000_000
    assert found.epsilon == FINITE.eps_sec + undetected(block.kept) and found.security == "finite"


def test_what_was_dropped_counts_as_known_and_as_wrong() -> None:
    counts, errors = counted()
    kept = sum(map(int, counts.n_z))
    whole, part = (
        judge("bb84-one-decoy", Block(kept - n, LEAK, errors, dropped=n), counts, FINITE, SETUP) for n in (0, 5000)
    )
    assert part.length < whole.length - 5000 and part.s1 < whole.s1


def test_the_verification_tag_is_charged_once() -> None:
    block = Block(4000, 500, (40,), 1000, 10)
    with_tag, without = (
        judge("bbm92", replace(block, verification_bits=bits), None, ASYMPTOTIC).length for bits in (64, 0)
    )
    assert without - with_tag == 64


@pytest.mark.parametrize("protocol", ["bbm92", "e91-same-bases"])
def test_pairs_are_judged_by_their_sample_and_all_known_errors(protocol: str) -> None:
    block = Block(90_000, 9000, (1100,), 10_000, 100)
    finite, asymptotic = (judge(protocol, block, None, goal) for goal in (FINITE, ASYMPTOTIC))
    assert finite.length == sampled(90_000, 10_000, 100, 9064).length
    assert asymptotic.phase_error == 1200 / 100_000
    assert asymptotic.length == math.floor(90_000 * (1 - entropy(0.012)) - 9064) > finite.length > 0
    assert (asymptotic.epsilon, asymptotic.security) == (0, "asymptotic")


def test_a_lucky_sample_does_not_hide_the_errors_that_were_corrected() -> None:
    block = Block(2000, 700, (100,), 100, 0)
    assert judge("bbm92", block, None, ASYMPTOTIC).phase_error == pytest.approx(100 / 2100)


def chsh(e: float, each: int) -> Correlations:
    """Correlations of +-e with `each` pairs per combination."""
    same = round(each * (1 + e) / 2)
    other = each - same
    return Correlations((same, other, same, same), (other, same, other, other))


def test_e91_is_judged_by_chsh_and_not_by_its_errors_alone() -> None:
    visibility, key = 0.96, 2_000_000
    wrong = round(0.02 * key)
    block = Block(key, 300_000, (wrong,), created=9_000_000)
    honest = chsh(visibility / math.sqrt(2), 1_000_000)
    finite, asymptotic = (judge("e91", block, honest, goal) for goal in (FINITE, ASYMPTOTIC))
    assert asymptotic.phase_error == pytest.approx(0.02, abs=1e-4)
    assert 0.02 < finite.phase_error < 0.04 and 0 < finite.length < asymptotic.length
    watched = judge("e91", block, chsh(0.5, 1_000_000), ASYMPTOTIC)  # S = 2, and the same errors
    assert watched.phase_error == pytest.approx(1 - 2 / math.sqrt(8) - 0.02, abs=1e-4)
    assert watched.length < asymptotic.length


@pytest.mark.parametrize("protocol", ["e91", "bb84-decoy", "bb84-one-decoy", "b92"])
def test_a_protocol_without_its_evidence_is_not_judged(protocol: str) -> None:
    with pytest.raises(ValueError, match="without its evidence"):
        judge(protocol, Block(1000, 0, (0,), 100, 0), None, ASYMPTOTIC)


def test_verification_leaves_what_its_polynomial_allows() -> None:
    assert undetected(2**23) == pytest.approx(2**17 / 2**64)


# ---- errors by intensity


def test_errors_are_counted_by_intensity_and_heard_as_told() -> None:
    marks = np.array([0, 1, 2, 0, 1, 0], np.uint8)
    errors = by_mark(marks, np.array([0, 2, 5]), 3)
    assert errors == (2, 0, 1)
    assert converse(tell(errors), hear((3, 2, 1))) == (errors, errors)
    assert by_mark(marks, np.array([], np.int64), 3) == (0, 0, 0)


@pytest.mark.parametrize("body", [b"", b"\0" * 8, b"\0" * 24, b"\xff" * 16, (4).to_bytes(8, "little") + b"\0" * 8])
def test_impossible_numbers_of_errors_are_refused(body: bytes) -> None:
    talk: Any = hear((3, 2))
    next(talk)
    with pytest.raises(Broken):
        talk.send(body)


# ---- how many bits


def test_more_bits_are_wanted_for_more_key_and_more_noise() -> None:
    by_length = [wanted(bits, 0.03) for bits in range(64, 20_000, 97)]
    assert by_length == sorted(by_length)
    by_noise = [wanted(2048, q / 1000, 1.2) for q in range(0, 501)]
    assert by_noise == sorted(by_noise)
    assert 2048 < wanted(2048, 0.0) < 2100 and by_noise[-1] < math.inf


@pytest.mark.parametrize("qber", [0.005, 0.02, 0.05, 0.08])
def test_as_many_as_are_wanted_probably_do(qber: float) -> None:
    chance, bits, f = np.random.default_rng(9), 1024, 1.2
    kept = wanted(bits + 64, qber, f)
    enough = 0
    for errors in chance.binomial(kept, qber, 2000):
        leak = math.ceil(f * entropy(errors / kept) * kept)
        enough += judge("bbm92", Block(kept, leak, (int(errors),), 0, 0), None, ASYMPTOTIC).length >= bits
    assert enough > 0.95 * 2000
    half, share = kept // 2, f * entropy(qber)  # half as many would not do
    assert judge("bbm92", Block(half, round(share * half), (round(qber * half),)), None, ASYMPTOTIC).length < bits


def test_a_guess_is_never_certain() -> None:
    assert guess(0, 0) == 0.5 and 0 < guess(0, 100) < 0.01 and guess(100, 100) < 1
