"""How much to form, and for whom."""

from __future__ import annotations

import pytest

from qkdbus_keysync.delivery import merge, remaining
from qkdbus_keysync.entries import rest_of
from qkdbus_keysync.policy import Need, checked, choose, job_bits, share, window
from qkdbus_keysync.rows import Piece


def need(sid: int, room: int, size: int = 32, priority: int = 0) -> Need:
    return Need(sid, size, room, priority, 0)


def test_a_window_holds_two_chunks_at_least() -> None:
    assert window(4096, 32) == 128
    assert window(64, 65536) == 2


@pytest.mark.parametrize(
    ("needs", "spare", "reservoir", "bits"),
    [
        ([], 0, 0, 0),
        ([need(1, 100)], 0, 0, 1024),  # a block, not the whole need
        ([need(1, 2)], 0, 0, 512),  # the need, not a whole block
        ([need(1, 2)], 512, 0, 0),  # on its way
        ([need(1, 2)], 500, 0, 256),  # one chunk at least
        ([], 0, 700, 700),
        ([], 700, 700, 0),
        ([need(1, 1, size=1000)], 0, 0, 1024),  # several blocks make one chunk
    ],
)
def test_no_more_is_formed_than_is_lacking(needs: list[Need], spare: int, reservoir: int, bits: int) -> None:
    assert job_bits(needs, spare, reservoir, 1024) == bits


def test_bits_are_shared_in_proportion_to_need() -> None:
    assert share(256 * 40, [need(1, 30), need(2, 10)]) == {1: 30, 2: 10}
    assert share(256 * 20, [need(1, 30), need(2, 10)]) == {1: 15, 2: 5}
    assert share(256, [need(1, 30), need(2, 10)]) == {1: 1}
    assert share(255, [need(1, 30), need(2, 10)]) == {}


def test_priority_goes_first() -> None:
    assert share(256 * 12, [need(1, 10), need(2, 10, priority=3)]) == {2: 10, 1: 2}


def test_no_stream_gets_more_than_it_has_room_for() -> None:
    needs = [need(n, n % 5 + 1, size=n % 7 + 1) for n in range(20)]
    given = share(10_000, needs)
    assert all(given.get(each.sid, 0) <= each.room for each in needs)
    for bits in range(0, 2_000, 37):
        assert sum(8 * needs[sid].size * count for sid, count in share(bits, needs).items()) <= bits


def test_a_pool_begins_with_whole_octets() -> None:
    reservoir = [Piece(b"a", 0, 13), Piece(b"b", 0, 80), Piece(b"c", 0, 99), Piece(b"d", 0, 8)]
    assert [piece.run for piece in choose(reservoir, 150, 8, None)] == [b"b", b"c", b"a"]
    assert [piece.run for piece in choose(reservoir, 150, 8, Piece(b"x", 0, 256))] == [b"x"]


def test_what_is_left_of_a_pool_is_named_piece_by_piece() -> None:
    pool = [Piece(b"a", 4, 10), Piece(b"b", 0, 30)]
    assert rest_of(pool, 16, 10) == [Piece(b"b", 6, 10), Piece(b"b", 16, 10), Piece(b"b", 26, 4)]
    assert rest_of(pool, 40, 10) == []


def test_acknowledged_indices_become_ranges() -> None:
    assert merge(0, []) == []
    assert merge(5, [7, 2, 5, 1, 20, 0, 8, 4]) == [(0, 6), (7, 12)]
    assert list(remaining(0, 15, [(0, 6), (7, 12)], 0)) == [(6, 7), (12, 15)]
    assert list(remaining(6, 15, [(0, 6), (7, 12)], 9)) == [(12, 15)]
    assert list(remaining(0, 4, [(0, 6)], 0)) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({1: 4}, "4 chunks to stream 1, which has room for 3"),
        ({9: 1}, "1 chunks to stream 9, which has room for 0"),
        ({1: -1}, "-1 chunks to stream 1"),
        ({1: 2, 2: 2}, "gave 1024 bits of 1000"),
    ],
)
def test_a_policy_that_gives_what_is_not_there_is_told_so(given: dict[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked(given, 1000, [need(1, 3), need(2, 3)])
    assert checked({1: 0, 2: 3}, 1000, [need(1, 3), need(2, 3)]) == {2: 3}
