"""The set of indices that are done with, against a plain set."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from qkdbus_keymanager.ranges import Ranges, subtract

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=30)


def build(spans: list[tuple[int, int]]) -> tuple[Ranges, set[int]]:
    ranges, plain = Ranges(), set[int]()
    for first, count in spans:
        new = set(range(first, first + count)) - plain
        assert ranges.add(first, count) == len(new)
        plain |= new
    return ranges, plain


@given(SPANS)
def test_it_holds_what_was_added(spans: list[tuple[int, int]]) -> None:
    ranges, plain = build(spans)
    assert {index for index in range(100) if index in ranges} == plain


@given(SPANS)
def test_low_is_the_first_index_that_is_not_there(spans: list[tuple[int, int]]) -> None:
    ranges, plain = build(spans)
    assert ranges.low == next(index for index in range(200) if index not in plain)
    above = list(ranges.above())
    assert all(start > ranges.low for start, _ in above)
    assert all(end < start for (_, end), (start, _) in pairwise(above))


@given(SPANS)
def test_it_comes_back_from_its_packed_form(spans: list[tuple[int, int]]) -> None:
    ranges, plain = build(spans)
    again = Ranges.unpack(ranges.low, ranges.pack())
    assert {index for index in range(100) if index in again} == plain


@given(SPANS, st.integers(0, 70), st.integers(0, 30))
def test_missing_names_the_gaps(spans: list[tuple[int, int]], first: int, count: int) -> None:
    ranges, plain = build(spans)
    gaps = [index for start, end in ranges.missing(first, first + count) for index in range(start, end)]
    assert gaps == [index for index in range(first, first + count) if index not in plain]


@given(SPANS, st.integers(1, 20))
def test_a_gap_ends_where_the_next_range_begins(spans: list[tuple[int, int]], count: int) -> None:
    ranges, plain = build(spans)
    end = ranges.gap_end(ranges.low, ranges.low + count)
    assert plain.isdisjoint(range(ranges.low, end))
    assert end == ranges.low + count or end in plain


@given(SPANS, SPANS)
def test_without_takes_away_what_is_held(spans: list[tuple[int, int]], held: list[tuple[int, int]]) -> None:
    ranges, plain = build(spans)
    cuts = [(first, first + count) for first, count in held]
    taken = {index for start, end in cuts for index in range(start, end)}
    less = ranges.without(cuts)
    assert {index for index in range(100) if index in less} == plain - taken
    assert {index for index in range(100) if index in ranges} == plain


def test_subtracting_nothing_leaves_all() -> None:
    assert list(subtract((3, 9), [])) == [(3, 9)]
    assert list(subtract((3, 9), [(0, 100)])) == []
