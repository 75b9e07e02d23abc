"""The example `keysync_policy`: what Min_bps promises goes before priority, and both ends agree all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from qkdbus_keysync.policy import ByPriority, Need

if TYPE_CHECKING:
    from .conftest import Deployed, Stream

Modules = Callable[[str], ModuleType]
BLOCK, RATE = 1024, 1000.0  # key bits of a block, key bits a second


@pytest.fixture(scope="module")
def promises(module_of: Modules) -> Callable[[], Any]:
    made: Callable[[], Any] = module_of("keysync_policy/keysync.py").PromisesFirst
    return made


def received(policy: Any, needs: list[Need], seconds: float) -> dict[int, float]:
    """Return the bit/s that each stream gets of a link of RATE, when all of them are always short of key."""
    chunks: Counter[int] = Counter()
    left, now = 0, 1e9
    while now < 1e9 + seconds:
        now += BLOCK / RATE
        bits = left + BLOCK
        given = policy.share(bits, needs, now)
        left = bits - sum(8 * need.size * given.get(need.sid, 0) for need in needs)
        assert left >= 0
        chunks.update(given)
    return {need.sid: chunks[need.sid] * 8 * need.size / seconds for need in needs}


def need(sid: int, min_bps: int, priority: int = 0, size: int = 32, room: int = 10_000) -> Need:
    return Need(sid, size, room, priority, 0, min_bps)


def test_a_promise_is_kept_however_urgent_others_are(promises: Callable[[], Any]) -> None:
    needs = [need(1, 300), need(2, 0, priority=5)]
    rates = received(promises(), needs, 1000.0)
    assert rates[1] == pytest.approx(300, rel=0.02)
    assert rates[2] == pytest.approx(700, rel=0.02)
    assert received(ByPriority(), needs, 1000.0) == {1: 0, 2: pytest.approx(1000, rel=0.01)}


def test_what_cannot_be_kept_is_kept_in_proportion(promises: Callable[[], Any]) -> None:
    rates = received(promises(), [need(1, 3000), need(2, 1000, priority=9), need(3, 0, priority=9)], 1000.0)
    assert rates[1] == pytest.approx(750, rel=0.03)
    assert rates[2] == pytest.approx(250, rel=0.03)
    assert rates[3] < 10


def test_chunks_larger_than_what_is_owed_at_once_come_in_their_time(promises: Callable[[], Any]) -> None:
    needs = [need(1, 100, size=256), need(2, 0, priority=5)]  # 2048 bits a chunk: one every 20 s
    rates = received(promises(), needs, 2000.0)
    assert rates[1] == pytest.approx(100, rel=0.05)
    assert rates[2] == pytest.approx(900, rel=0.05)


def test_credit_is_not_saved_up_by_a_stream_that_wants_nothing(promises: Callable[[], Any]) -> None:
    policy, urgent = promises(), need(2, 0, priority=5)
    policy.share(0, [need(1, 500)], 1000.0)
    policy.share(0, [urgent], 2000.0)  # stream 1 is full
    assert policy.share(1024, [need(1, 500), urgent], 2000.5) == {1: 0, 2: 4}  # 250 bits are owed: no chunk yet
    assert policy.share(1024, [need(1, 500), urgent], 2001.0) == {1: 1, 2: 3}
    assert policy.share(1024, [need(1, 500), urgent], 10.0)[1] <= 1  # the clock was put back


@pytest.fixture(scope="module")
def promised(
    copied: Callable[[str], Path], deploying: Callable[[Path], AbstractContextManager[Deployed]]
) -> Iterator[Deployed]:
    with deploying(copied("keysync_policy")) as net:
        yield net


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_streams_get_their_shares_and_both_ends_agree(
    promised: Deployed, until: Callable[[Callable[[], object], str], None], module_of: Modules
) -> None:
    shares = module_of("keysync_policy/shares.py")
    alice, bob = promised.client("Alice"), promised.client("Bob")
    opened = shares.open_both(alice, bob)
    urgent, humble = (promised.held(alice, bob, ksid) for ksid in opened.values())

    def measured() -> tuple[float, float]:
        starts = [next_index(stream) for stream in (urgent, humble)]
        until(lambda: sum(map(next_index, (urgent, humble))) >= sum(starts) + 8, "key comes")
        theirs, ours = shares.rates(alice, opened, 8.0).values()
        return theirs, ours

    theirs, ours = measured()
    print(f"\nwith promises first: min_bps 1000 gets {ours:.0f} bit/s, priority 5 gets {theirs:.0f} bit/s")
    # A machine so busy that the link forms less than is promised gives all of it to the promise.
    assert 400 < ours < 2500 or theirs < 0.1 * ours, "the promise comes first"
    keys = {key.key for stream in (urgent, humble) for key in stream.agree(8)}

    promised.qkdbus("swap", "Alice", "keysync", "--", "python", "-m", "qkdbus_keysync")  # the built-in policy
    theirs, ours = measured()
    print(f"by priority alone:   min_bps 1000 gets {ours:.0f} bit/s, priority 5 gets {theirs:.0f} bit/s")
    assert theirs > 0
    assert ours < 0.05 * theirs, "the built-in policy looks at priority first"

    promised.qkdbus("swap", "Alice", "keysync", "--restore")
    at = next_index(humble)
    until(lambda: next_index(humble) >= at + 8, "and comes back to the promise")
    keys |= {key.key for stream in (urgent, humble) for key in stream.agree(8)}
    assert len(keys) == 32


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_keeps_the_contract(copied: Callable[[str], Path], conform: Callable[..., None]) -> None:
    conform(copied("keysync_policy"), "keysync", "python", "./keysync.py")


def next_index(stream: Stream) -> int:
    """How many keys of a stream both ends have agreed upon, as the arbiter's end sees it."""
    return next(info.next_index for info in stream.here.list_streams() if info.ksid == stream.ksid)
