"""E91 with CHSH, both ends in one line: Born's rule has the pairs in its hand."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from qkdbus_qbackend.emulators.photonic.born import Way, correlation, error_rate
from qkdbus_qbackend.emulators.port import A22, LINEAR, Pairs, X
from qkdbus_qbackend.failure import Broken
from qkdbus_qbackend.protocols.chsh import LEAST, Correlations
from qkdbus_qbackend.protocols.e91 import E91
from qkdbus_qbackend.protocols.sifting import Sifted
from qkdbus_qbackend.protocols.talk import Hear, Measure, Tell, converse

TSIRELSON = 2 * math.sqrt(2)


@dataclass
class Hand:
    """Pairs that differ with the probability that Born's rule gives for the bases that both ends measured in."""

    way: Way
    dice: np.random.Generator

    def source(self, wish: Measure) -> Any:
        self.bases, self.outcomes = wish.bases, self.dice.integers(0, 2, len(wish.bases), np.uint8)
        return self.outcomes.copy()

    def sink(self, wish: Measure) -> Any:
        table = np.array([[error_rate(one, other, self.way) for other in range(5)] for one in range(5)])
        return self.outcomes ^ (self.dice.random(len(wish.bases)) < table[self.bases, wish.bases])


def exchange(count: int, way: Way = Way(), seed: int = 1) -> tuple[Sifted, Sifted]:  # noqa: B008  # frozen
    hand, pairs = Hand(way, np.random.default_rng(seed)), Pairs(3, count, 7)
    token = np.random.default_rng(seed + 1000).bytes
    return converse(E91.source(pairs, token), E91.sink(pairs, token), hands=(hand.source, hand.sink))


def chsh(sifted: Sifted) -> Correlations:
    assert isinstance(sifted.evidence, Correlations)
    return sifted.evidence


def qber(ours: Sifted, theirs: Sifted) -> float:
    return float(np.mean(ours.bits != theirs.bits))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000, 10_001])
def test_perfect_pairs_give_both_ends_the_same_key_and_the_same_evidence(count: int) -> None:
    ours, theirs = exchange(count)
    assert (ours.bits == theirs.bits).all() and ours.evidence == theirs.evidence
    assert (ours.batch, ours.created, ours.sent) == (theirs.batch, theirs.created, theirs.sent) == (3, count, 7)
    assert ours.disclosed == theirs.disclosed == sum(chsh(ours).totals)
    assert len(ours.bits) + ours.disclosed <= count


def test_two_ninths_are_kept_and_four_ninths_tested() -> None:
    count = 300_000
    ours, _ = exchange(count)
    shares = {"kept": (len(ours.bits), 2 / 9), "tested": (ours.disclosed, 4 / 9)}
    shares["discarded"] = count - len(ours.bits) - ours.disclosed, 3 / 9
    for seen, share in shares.values():
        assert abs(seen - share * count) < 4 * math.sqrt(share * (1 - share) * count)
    assert (E91.kept, E91.disclosed_share, E91.bases) == (2 / 9, 4 / 9, LINEAR)
    assert max(abs(n - count / 9) for n in chsh(ours).totals) < 4 * math.sqrt(count * 8) / 9


@pytest.mark.parametrize("visibility", [1.0, 0.96, 0.85, 0.7071, 0.3, 0.0])
def test_s_is_two_root_two_times_the_visibility(visibility: float) -> None:
    ours, theirs = exchange(400_000, Way(mixed=1 - visibility), seed=7)
    found = chsh(ours)
    assert abs(found.s - TSIRELSON * visibility) < 4 * found.error
    assert 0.003 < found.error < 0.011
    sifted = len(ours.bits)
    assert abs(qber(ours, theirs) - (1 - visibility) / 2) < 4 * math.sqrt(0.25 / sifted) * (visibility < 1) + 1e-12
    assert found.violates(2.0, 3.0) == (visibility > 0.75)


def test_the_standard_error_is_that_of_many_exchanges() -> None:
    way, values, errors = Way(mixed=0.04), [], []
    for seed in range(300):
        ours, _ = exchange(4000, way, seed)
        values.append(chsh(ours).s)
        errors.append(chsh(ours).error)
    # the spread of 300 values is itself uncertain by 1 / sqrt(600) = 4 %
    assert np.std(values, ddof=1) == pytest.approx(np.mean(errors), rel=4 / math.sqrt(600))
    assert abs(np.mean(values) - TSIRELSON * 0.96) < 4 * np.mean(errors) / math.sqrt(300)


@pytest.mark.parametrize(
    ("angles", "expected"),
    [((22.5, 45.0), 0.125), ((0.0,), 0.375), ((0.0, 45.0), 0.25), ((11.0, 33.5, 56.0, 78.5), 0.25)],
)
def test_the_qber_depends_on_the_eavesdroppers_angles_and_s_does_not(angles: Any, expected: float) -> None:
    way = Way(intercepted=1.0, angles=angles)
    ours, theirs = exchange(300_000, way)
    assert abs(chsh(ours).s - math.sqrt(2)) < 4 * chsh(ours).error
    assert not chsh(ours).violates()
    assert abs(qber(ours, theirs) - expected) < 4 * math.sqrt(expected * (1 - expected) / len(ours.bits))
    assert (error_rate(A22, A22, way) + error_rate(X, X, way)) / 2 == pytest.approx(expected)


def test_a_part_of_the_pairs_intercepted_moves_s_in_proportion() -> None:
    ours, theirs = exchange(400_000, Way(intercepted=0.4))
    assert abs(chsh(ours).s - (0.6 * TSIRELSON + 0.4 * math.sqrt(2))) < 4 * chsh(ours).error
    assert abs(qber(ours, theirs) - 0.4 / 4) < 4 * math.sqrt(0.09 / len(ours.bits))


def test_the_local_bound_is_at_a_qber_beyond_that_of_the_last_secret_bit() -> None:
    way = Way(mixed=1 - 1 / math.sqrt(2))
    s = correlation(0, 3, way) - correlation(0, 4, way) + correlation(1, 3, way) + correlation(1, 4, way)
    assert s == pytest.approx(2) and error_rate(X, X, way) == pytest.approx(0.1464, abs=1e-4)


def test_evidence_adds_up_over_batches() -> None:
    batches = [chsh(exchange(2000, Way(mixed=0.1), seed)[0]) for seed in range(5)]
    whole = sum(batches[1:], batches[0])
    assert whole.totals == tuple(map(sum, zip(*(batch.totals for batch in batches), strict=True)))
    assert whole.agree == tuple(map(sum, zip(*(batch.agree for batch in batches), strict=True)))
    assert whole.error == pytest.approx(batches[0].error / math.sqrt(5), rel=0.1)


def test_too_few_outcomes_prove_nothing() -> None:
    certain = Correlations((LEAST, 0, LEAST, LEAST), (0, LEAST, 0, 0))
    assert certain.s == 4 and certain.error == 0 and certain.violates()
    fewer = replace(certain, agree=(LEAST - 1, 0, LEAST, LEAST))
    assert fewer.s == 4 and fewer.error == math.inf and not fewer.violates()
    assert Correlations().s == 0 and not Correlations().violates(0.0)


def test_the_bound_is_s_less_so_many_standard_errors() -> None:
    found = Correlations((430, 75, 425, 430), (70, 425, 75, 70))
    assert found.s == pytest.approx(0.72 + 0.70 + 0.70 + 0.72)
    assert found.error == pytest.approx(math.sqrt((2 * (1 - 0.72**2) + 2 * (1 - 0.7**2)) / 500))
    margin = found.s - 2
    assert found.violates(2.0, 0.99 * margin / found.error) and not found.violates(2.0, 1.01 * margin / found.error)


def test_no_end_says_anything_before_it_has_measured_and_the_source_not_before_it_has_heard() -> None:
    pairs = Pairs(0, 64)
    for end, then in ((E91.source, Hear), (E91.sink, Tell)):
        talk = end(pairs, os.urandom)
        assert isinstance(next(talk), Measure)
        assert isinstance(talk.send(np.zeros(64, np.uint8)), then)


def test_what_is_said_depends_on_no_outcome_but_those_of_the_test() -> None:
    """Turning every outcome that is not tested changes no message."""
    pairs, dice = Pairs(0, 900), np.random.default_rng(2)
    alice, bob = (np.frombuffer(bytes(dice.integers(0, 255, 2000, np.uint8)), np.uint8) for _ in range(2))
    tested = ((alice[:900] % 3 | bob[:900] % 3) & 1) == 0
    said = []
    for turned in (0, 1):
        outcomes = np.where(tested, 1, turned).astype(np.uint8)
        source = E91.source(pairs, lambda count: alice[:count].tobytes())
        sink = E91.sink(pairs, lambda count: bob[:count].tobytes())
        said.append(_listen(source, sink, outcomes))
    assert said[0] == said[1] and len(said[0]) == 3


def _listen(source: Any, sink: Any, outcomes: Any) -> list[bytes]:
    next(source), next(sink)
    source.send(outcomes.copy())
    first = sink.send(outcomes.copy())
    sink.send(None)
    second = source.send(first.body)
    source.send(None)
    third = sink.send(second.body)
    return [first.body, second.body, third.body]


def _source(said: list[bytes]) -> None:
    talk = E91.source(Pairs(0, 64), os.urandom)
    next(talk)
    talk.send(np.zeros(64, np.uint8))
    for body in said:
        talk.send(body)  # is told, and heard next
        talk.send(None)


def _sink(said: list[bytes]) -> None:
    talk = E91.sink(Pairs(0, 64), os.urandom)
    next(talk)
    talk.send(np.zeros(64, np.uint8))
    talk.send(None)
    for body in said:
        talk.send(body)


A1_OR_B1 = bytes(16)  # the first basis 64 times


@pytest.mark.parametrize("end", [_source, _sink])
@pytest.mark.parametrize("body", [b"", b"\0" * 15, b"\xff" * 16, b"\0" * 100])
def test_bases_that_cannot_be_are_refused(end: Callable[[list[bytes]], None], body: bytes) -> None:
    with pytest.raises(Broken):
        end([body])


def test_outcomes_of_another_number_of_pairs_are_refused() -> None:
    with pytest.raises(Broken):
        _source([A1_OR_B1, bytes(9)])  # there cannot be more than 64
    with pytest.raises(Broken):
        _sink([A1_OR_B1 + bytes(9)])
    with pytest.raises(Broken):  # all of A2: nothing is tested
        _sink([b"\xff" * 8 + bytes(8) + b"\0"])


def test_neither_the_sifted_bits_nor_their_marks_show_themselves() -> None:
    sifted = Sifted(1, 8, np.ones(4, np.uint8), 4, Correlations(), np.ones(4, np.uint8))
    assert repr(sifted) == "Sifted(batch=1, created=8, kept=4, disclosed=4)"
