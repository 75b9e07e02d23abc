"""Which exchanges take too long."""

from __future__ import annotations

import pytest

from qkdbus_dispatcher.pace import (
    AGAINST_FORMER,
    AGAINST_OTHERS,
    FORMER,
    LEAST_FORMER,
    LEAST_OTHERS,
    OVERTAKEN,
    Pace,
)


def done(pace: Pace, name: str, seconds: float, *, worker: int = 0, began: float = 0.0, bits: int = 1000) -> None:
    pace.begun(name.encode(), "Bob", bits, worker, began)
    pace.ended(name.encode(), began + seconds, well=True)


def test_without_anything_to_compare_with_nothing_is_late() -> None:
    pace = Pace()
    pace.begun(b"x", "Bob", 1000, 0, 0.0)
    assert pace.late(1e9) == []


def test_one_that_takes_many_times_as_long_as_former_ones_is_late() -> None:
    pace = Pace()
    for number in range(FORMER):
        done(pace, str(number), 2.0 + number)
    slowest = 2.0 + FORMER - 1
    pace.begun(b"x", "Bob", 1000, 0, 100.0)
    assert pace.late(100.0 + AGAINST_FORMER * slowest) == []
    assert pace.late(100.1 + AGAINST_FORMER * slowest) == [b"x"]


def test_quick_ones_have_some_time_in_any_case() -> None:
    pace = Pace()
    for number in range(FORMER):
        done(pace, str(number), 0.001)
    pace.begun(b"x", "Bob", 1000, 0, 0.0)
    assert pace.late(LEAST_FORMER) == []
    assert pace.late(LEAST_FORMER + 0.1) == [b"x"]


@pytest.mark.parametrize(("worker", "late"), [(1, True), (0, False)])
def test_one_that_later_ones_overtake_is_late_when_those_ran_elsewhere(worker: int, late: bool) -> None:
    pace = Pace()
    pace.begun(b"x", "Bob", 1000, 0, 0.0)
    for number in range(OVERTAKEN):
        assert pace.late(1.0) == []
        done(pace, str(number), 0.2, worker=worker, began=0.1)
    limit = max(LEAST_OTHERS, AGAINST_OTHERS * 0.2)
    assert pace.late(limit) == []
    assert pace.late(limit + 0.1) == ([b"x"] if late else [])


def test_only_like_is_held_against_like() -> None:
    pace = Pace()
    for number in range(FORMER):
        done(pace, str(number), 0.1, bits=1000)
    pace.begun(b"long", "Bob", 1_000_000, 0, 0.0)
    pace.begun(b"other", "Charlie", 1000, 0, 0.0)
    pace.begun(b"same", "Bob", 1023, 0, 0.0)
    assert pace.late(1000.0) == [b"same"]


def test_exchanges_without_a_key_are_no_measure() -> None:
    pace = Pace()
    for number in range(FORMER):
        pace.begun(str(number).encode(), "Bob", 1000, 0, 0.0)
        pace.ended(str(number).encode(), 0.01, well=False)
    pace.begun(b"x", "Bob", 1000, 0, 0.0)
    assert pace.late(1000.0) == []
    assert pace.typical("Bob") == 0.0


def test_where_everything_has_become_slow_everything_may_be() -> None:
    pace = Pace()
    for number in range(FORMER):
        done(pace, str(number), 1.0)
    pace.begun(b"x", "Bob", 1000, 0, 0.0)
    assert pace.late(6.0) == [b"x"]
    pace.given_up(b"x", 6.0)
    pace.begun(b"y", "Bob", 1000, 0, 10.0)
    assert pace.late(10.0 + AGAINST_FORMER * 6.0) == []
    assert pace.late(10.1 + AGAINST_FORMER * 6.0) == [b"y"]
    pace.given_up(b"never begun", 0.0)


def test_it_tells_what_is_usual_on_a_link() -> None:
    pace = Pace()
    for number, seconds in enumerate((1.0, 2.0, 9.0)):
        done(pace, str(number), seconds)
    assert pace.typical("Bob") == 2.0
    assert pace.typical("Charlie") == 0.0
