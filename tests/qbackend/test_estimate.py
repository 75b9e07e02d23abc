"""Estimation: a fair sample, exact counts, the same verdict at both ends."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkdbus_qbackend.bits import Bits
from qkdbus_qbackend.distil import estimate
from qkdbus_qbackend.distil.authenticate import ENTRY_BITS
from qkdbus_qbackend.distil.verify import TAG_BITS
from qkdbus_qbackend.failure import Broken, NoKey
from qkdbus_qbackend.plan import Plan, pairs_for, sifted_for
from qkdbus_qbackend.protocols.talk import converse
from qkdbus_qbackend.tally import Tally


def bits(count: int) -> Bits:
    return np.frombuffer(os.urandom(count), np.uint8) & np.uint8(1)


@given(st.integers(0, 5000), st.floats(0.001, 0.5))
def test_a_sample_is_large_enough_and_leaves_whole_octets(sifted: int, share: float) -> None:
    size = estimate.sample_size(sifted, share)
    assert (sifted - size) % 8 == 0
    assert min(sifted, max(16, share * sifted - 1e-6)) <= size <= max(16, share * sifted) + 8


@given(st.integers(1, 1 << 16), st.floats(0.001, 0.5))
def test_enough_is_sifted_for_the_key_for_what_is_told_and_for_the_next_authentication(
    length: int, share: float
) -> None:
    needed = sifted_for(length, share)
    kept = needed - estimate.least_sample(needed, share)
    assert kept >= length + TAG_BITS + ENTRY_BITS
    assert kept < 3 * (length + TAG_BITS + ENTRY_BITS) + 200, "not much more: pairs cost time"


def test_a_link_of_which_no_key_can_come_is_probed_with_small_blocks() -> None:
    assert sifted_for(1024, 0.1) < sifted_for(1024, 0.1, 0.05) < sifted_for(1024, 0.1, 0.09)
    assert sifted_for(1024, 0.1, 0.25) == sifted_for(1024, 0.1)


@given(st.integers(1, 400), st.data())
def test_a_sample_has_exactly_its_size(count: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, count))
    assert np.count_nonzero(estimate.choose(count, size, os.urandom)) == size


def test_every_position_is_chosen_equally_often() -> None:
    counts: Any = sum(estimate.choose(40, 10, os.urandom).astype(int) for _ in range(4000))
    assert abs(counts - 1000).max() < 6 * np.sqrt(4000 * 0.25 * 0.75)


@pytest.mark.parametrize("count", [88, 144, 1000, 40_001])
def test_what_is_published_is_not_kept(count: int) -> None:
    alike = bits(count)
    ours, theirs = converse(estimate.source(alike, 0.1, os.urandom), estimate.sink(alike.copy(), 0.1))
    assert ours.disclosed == theirs.disclosed == count - len(ours.kept)
    assert ours.qber == theirs.qber == 0
    assert (ours.kept == theirs.kept).all() and len(ours.kept) % 8 == 0


def test_both_ends_compute_the_same_qber_from_the_published_bits_alone() -> None:
    mine = bits(20_000)
    wrong = np.zeros(20_000, np.uint8)
    wrong[: 20_000 // 25] = 1
    ours, theirs = converse(estimate.source(mine, 0.5, os.urandom), estimate.sink(mine ^ wrong, 0.5))
    assert ours.qber == theirs.qber == pytest.approx(0.04, abs=0.008)
    left = np.count_nonzero(ours.kept != theirs.kept)
    assert left + round(ours.qber * ours.disclosed) == 800


def test_nothing_but_the_sample_is_said() -> None:
    alike = bits(4096)
    source: Any = estimate.source(alike, 0.1, os.urandom)
    sink: Any = estimate.sink(alike.copy(), 0.1)
    next(sink)
    said = next(source)
    size = estimate.sample_size(4096, 0.1)
    assert len(said.body) == 8 + 512 + (size + 7) // 8
    assert len(sink.send(said.body).body) == (size + 7) // 8


@pytest.mark.parametrize(
    "spoil", [lambda body: body[:-1], lambda body: body + b"\0", lambda body: b"", lambda b: b[:8]]
)
def test_a_spoilt_sample_is_refused(spoil: Any) -> None:
    alike = bits(1000)
    source: Any = estimate.source(alike, 0.1, os.urandom)
    sink: Any = estimate.sink(alike, 0.1)
    next(sink)
    with pytest.raises(Broken):
        sink.send(spoil(next(source).body))


def test_ends_that_sifted_differently_do_not_go_on() -> None:
    with pytest.raises(Broken, match="different numbers"):
        converse(estimate.source(bits(1000), 0.1, os.urandom), estimate.sink(bits(1008), 0.1))


def test_a_sample_of_another_size_is_refused() -> None:
    alike = bits(1000)
    with pytest.raises(Broken, match="another size"):
        converse(estimate.source(alike, 0.02, os.urandom), estimate.sink(alike, 0.1))


@given(st.integers(1, 100_000), st.sampled_from([1 / 2, 1 / 3]))
def test_pairs_suffice_but_for_two_deviations(sifted: int, kept: Any) -> None:
    n = pairs_for(sifted, kept)
    assert n * kept - 2 * np.sqrt(n * kept * (1 - kept)) >= sifted - 1e-6
    assert (n - 1) * kept - 2 * np.sqrt((n - 1) * kept * (1 - kept)) < sifted + 1e-6


def test_a_plan_goes_on_until_there_is_enough_and_no_further() -> None:
    plan = Plan.of(144, 1 / 3, largest=512)
    assert 128 <= plan.batch <= 512
    in_flight = 0
    while count := plan.next_batch(0, in_flight):
        assert count <= plan.batch
        in_flight += count
    assert in_flight == pairs_for(144, 1 / 3)
    assert plan.next_batch(130, 0) >= 14 * 3
    assert plan.next_batch(144, 0) == plan.next_batch(200, 0) == 0


@pytest.mark.parametrize(("created", "dark"), [(0, True), (15, True), (25, False), (1000, False)])
def test_a_link_on_which_hardly_anything_arrives_is_given_up_with_an_alarm(created: int, dark: bool) -> None:
    plan = Plan.of(100_000, 1 / 2, largest=512, detected=1e-3)
    tally = Tally("bb84-decoy", "photonic", sent=1_000_000, created=created)
    if dark:
        with pytest.raises(NoKey, match="dark") as raised:
            plan.look(tally)
        assert raised.value.alarm
    else:
        plan.look(tally)
    plan.look(Tally("bb84-decoy", "photonic", sent=100_000))  # too early to tell
