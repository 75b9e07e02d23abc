"""Who is next: by priority, links in turn by bits, nobody for ever."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from qkdbus_dispatcher.queue import TURN, JobQueue, Ticket

FEW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PEERS = ("Bob", "Charlie", "Dave")
_tickets = some.builds(
    lambda peer, bits, priority: (peer, bits, priority),
    some.sampled_from(PEERS),
    some.integers(1, 1 << 20),
    some.integers(0, 3),
)


def ticket(name: int, peer: str = "Bob", bits: int = 100, priority: int = 0) -> Ticket:
    return Ticket(str(name).encode(), peer, bits, priority)


def popped(queue: JobQueue) -> list[Ticket]:
    found = []
    while (one := queue.pop()) is not None:
        found.append(one)
    return found


def names(tickets: list[Ticket]) -> list[int]:
    return [int(one.name) for one in tickets]


def test_higher_priority_goes_first_and_within_a_link_who_came_first() -> None:
    queue = JobQueue()
    for number, priority in enumerate((0, 2, 1, 2)):
        queue.put(ticket(number, priority=priority))
    assert names(popped(queue)) == [1, 3, 2, 0]
    assert queue.pop() is None


def test_links_take_turns_however_much_one_of_them_wants() -> None:
    queue = JobQueue()
    for number in range(6):
        queue.put(ticket(number, "Bob"))
    for number in range(6, 9):
        queue.put(ticket(number, "Charlie"))
    assert [one.peer for one in popped(queue)[:6]] == ["Bob", "Charlie"] * 3


def test_turns_are_counted_in_bits() -> None:
    queue = JobQueue()
    for number in range(4):
        queue.put(ticket(number, "Bob", bits=300))
    for number in range(4, 16):
        queue.put(ticket(number, "Charlie", bits=100))
    first = Counter(one.peer for one in popped(queue)[:8])
    assert first == {"Bob": 2, "Charlie": 6}


def test_a_link_that_did_not_wait_has_saved_nothing_up() -> None:
    queue = JobQueue()
    for number in range(20):
        queue.put(ticket(number, "Bob"))
    assert {queue.pop().peer for _ in range(10)} == {"Bob"}  # type: ignore[union-attr]
    for number in range(20, 30):
        queue.put(ticket(number, "Charlie"))
    assert Counter(one.peer for one in popped(queue)[:10]) == {"Bob": 5, "Charlie": 5}


def test_a_job_that_is_withdrawn_costs_its_link_no_turn() -> None:
    queue = JobQueue()
    for number in range(3):
        queue.put(ticket(number, "Bob"))
        queue.put(ticket(number + 10, "Charlie"))
    assert queue.drop(b"0") is not None
    assert queue.drop(b"0") is None
    assert b"0" not in queue
    assert [one.peer for one in popped(queue)] == ["Charlie", "Bob", "Charlie", "Bob", "Charlie"]


def test_a_name_waits_once() -> None:
    queue = JobQueue()
    queue.put(ticket(1))
    with pytest.raises(ValueError, match="already"):
        queue.put(ticket(1))


def test_low_priority_is_served_while_higher_ones_keep_coming() -> None:
    queue = JobQueue()
    for number in range(3):
        queue.put(ticket(number, "Bob", priority=0))
    served, number = [], 100
    for _ in range(3 * TURN):
        queue.put(ticket(number, "Charlie", priority=9))
        number += 1
        served.append(int(queue.pop().name))  # type: ignore[union-attr]
    assert [at for at, name in enumerate(served) if name < 100] == [TURN - 1, 2 * TURN - 1, 3 * TURN - 1]


def test_when_it_is_full_the_longest_line_of_the_lowest_priority_gives_way() -> None:
    queue = JobQueue(most=4)
    for number in range(3):
        queue.put(ticket(number, "Bob"))
    queue.put(ticket(3, "Charlie"))
    late = ticket(4, "Bob")
    assert queue.put(late) is late, "its own line is the longest"
    gone = queue.put(ticket(5, "Dave"))
    assert gone is not None
    assert gone.name == b"2", "the newest of the longest line"
    urgent = queue.put(ticket(6, "Dave", priority=1))
    assert urgent is not None
    assert urgent.priority == 0
    low = JobQueue(most=1)
    low.put(ticket(1, priority=5))
    newcomer = ticket(2, priority=4)
    assert low.put(newcomer) is newcomer
    assert len(queue) == 4
    assert len(low) == 1


@FEW
@given(some.lists(some.one_of(_tickets, some.none()), max_size=40), some.integers(1, 12))
def test_nothing_is_lost_or_served_twice_and_it_never_grows_beyond_its_bound(
    steps: list[tuple[str, int, int] | None], most: int
) -> None:
    """None: whoever is next is served."""
    queue, came, gone = JobQueue(most), 0, []
    for step in steps:
        if step is None:
            one = queue.pop()
            gone += [one] if one else []
        else:
            lost = queue.put(ticket(came, *step))
            gone += [lost] if lost else []
            came += 1
        assert len(queue) <= most
    waiting = len(queue)
    left = popped(queue)
    assert len(left) == waiting
    assert sorted(names(gone + left)) == list(range(came))


@FEW
@given(some.lists(some.tuples(some.sampled_from(PEERS), some.integers(1, 1000)), min_size=1, max_size=40))
def test_links_that_wait_are_never_further_apart_than_two_jobs(jobs: list[tuple[str, int]]) -> None:
    queue, longest, left = JobQueue(), Counter[str](), Counter[str]()
    for number, (peer, bits) in enumerate(jobs):
        queue.put(ticket(number, peer, bits))
        longest[peer] = max(longest[peer], bits)
        left[peer] += 1
    given_bits: Counter[str] = Counter()
    while (one := queue.pop()) is not None:
        given_bits[one.peer] += one.bits
        left[one.peer] -= 1
        waiting = [peer for peer in PEERS if left[peer]]
        for a in waiting:
            for b in waiting:
                assert given_bits[a] - given_bits[b] <= longest[a] + longest[b]


@FEW
@given(some.lists(some.tuples(some.sampled_from(PEERS), some.integers(1, 1 << 20), some.integers(0, 2)), max_size=8))
def test_nobody_waits_for_ever(first: list[tuple[str, int, int]]) -> None:
    """For each job that is served a new one of higher priority comes: the others get on, the oldest first."""
    queue = JobQueue()
    for number, (peer, bits, priority) in enumerate(first):
        queue.put(ticket(number, peer, bits, priority))
    served = []
    for number in range(100, 100 + TURN * len(first)):
        queue.put(ticket(number, PEERS[number % 3], bits=1, priority=3))
        found = queue.pop()
        assert found is not None
        served += [int(found.name)] if found.priority < 3 else []
    assert served == list(range(len(first)))
