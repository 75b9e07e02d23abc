"""GET_KEY: rulings C2-C5, C10, C12."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from qkdbus.contracts.call import OPERATOR
from qkdbus.errors import Refused, Unauthorised

if TYPE_CHECKING:
    from .network import Network


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_keys_come_in_order_and_equal_at_both_ends(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=32)
    keys = network.form(ksid, 200)
    for index in range(200):
        one, other = await network.app1.get(ksid), await network.app2.get(ksid)
        assert (one.status, one.index, one.key) == (0, index, keys[index])
        assert (other.status, other.index, other.key) == (0, index, keys[index])


@pytest.mark.parametrize("size", [1, 3, 65_536])
async def test_keys_have_the_agreed_size(network: Network, size: int) -> None:
    ksid = await network.connect(key_chunk_size=size)
    keys = network.form(ksid, 3)
    assert [(await network.app1.get(ksid)).key for _ in range(3)] == keys


async def test_streams_do_not_mix(network: Network) -> None:
    first, second = await network.connect(), await network.connect()
    keys = network.form(first, 2)
    others = network.form(second, 2)
    assert (await network.app1.get(second)).key == others[0]
    assert (await network.app1.get(first)).key == keys[0]


async def test_a_key_that_comes_within_the_timeout_is_waited_for(network: Network) -> None:
    ksid = await network.connect(timeout=5000)
    waiting = asyncio.create_task(network.app1.get(ksid))
    await asyncio.sleep(3)
    key = network.form(ksid, 1)[0]
    assert (await waiting).key == key


async def test_who_waits_first_is_served_first(network: Network) -> None:
    ksid = await network.connect(timeout=5000)
    callers = [network.alice.app("app1") for _ in range(4)]
    waiting = [asyncio.create_task(app.get(ksid)) for app in callers]
    await asyncio.sleep(1)
    keys = network.form(ksid, 4)
    assert [(await task).key for task in waiting] == keys


async def test_a_lost_event_costs_seconds_not_the_key(network: Network) -> None:
    ksid = await network.connect(timeout=10_000)
    waiting = asyncio.create_task(network.app1.get(ksid))
    await asyncio.sleep(0.5)
    key = network.form(ksid, 1, silently=True)[0]
    begun = now()
    assert (await waiting).key == key
    assert now() - begun < 3


async def test_before_the_other_application_has_opened_it_is_status_3(network: Network) -> None:
    opened = await network.app1.open(timeout=2000)
    begun = now()
    assert (await network.app1.get(opened.ksid)).status == 3
    assert 1.9 < now() - begun < 2.2


async def test_it_waits_for_the_other_application_to_open(network: Network) -> None:
    opened = await network.app1.open(timeout=9000)
    waiting = asyncio.create_task(network.app1.get(opened.ksid))
    await asyncio.sleep(1)
    await network.app2.open(opened.ksid)
    await asyncio.sleep(1)
    key = network.form(opened.ksid, 1)[0]
    assert (await waiting).key == key


async def test_too_little_key_is_status_2_after_the_timeout(network: Network) -> None:
    ksid = await network.connect(timeout=1500)
    begun = now()
    assert (await network.app1.get(ksid)).status == 2
    assert 1.4 < now() - begun < 1.7


async def test_timeout_zero_answers_at_once(network: Network) -> None:
    ksid = await network.connect(timeout=0)
    begun = now()
    assert (await network.app1.get(ksid)).status == 2
    assert now() - begun < 0.05


async def test_a_key_manager_that_fell_silent_is_status_6(network: Network) -> None:
    ksid = await network.connect(timeout=4000)
    network.cut = True
    await asyncio.sleep(5)
    assert (await network.app1.get(ksid)).status == 6
    network.cut = False
    await asyncio.sleep(6)
    assert (await network.app1.get(ksid)).status == 2


async def test_a_keysync_that_fell_silent_is_status_6(network: Network) -> None:
    ksid = await network.connect(timeout=1000)
    network.alice.keysync.state = "silent"
    assert (await network.app1.get(ksid)).status == 6
    network.alice.keysync.silent = True
    await asyncio.sleep(2)
    assert (await network.app1.get(ksid)).status == 6


async def test_ends_not_synchronised_are_status_6(network: Network, new_ksid: bytes) -> None:
    network.cut = True
    await network.app1.open(new_ksid, timeout=500)
    assert (await network.app1.get(new_ksid)).status == 6


async def test_an_alarm_on_the_link_is_status_4_and_goes_with_it(network: Network) -> None:
    ksid = await network.connect(timeout=300)
    network.alice.keysync.alarmed("QBER 0.25")
    got = await network.app1.get(ksid)
    assert got.status == 4
    assert "QBER 0.25" in got.reason
    network.alice.keysync.cleared()
    assert (await network.app1.get(ksid)).status == 2


async def test_a_link_that_is_down_still_serves_what_there_is(network: Network) -> None:
    ksid = await network.connect(timeout=300)
    keys = network.form(ksid, 2)
    await asyncio.sleep(0.1)
    network.alice.keysync.state = "down"
    assert [(await network.app1.get(ksid)).key for _ in range(2)] == keys
    assert (await network.app1.get(ksid)).status == 4


async def test_an_index_may_be_chosen_and_lower_ones_stay(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 6)
    got = await network.app1.get(ksid, index=3)
    assert (got.index, got.key) == (3, keys[3])
    rest = [await network.app1.get(ksid) for _ in range(5)]
    assert [(g.index, g.key) for g in rest] == [(i, keys[i]) for i in (0, 1, 2, 4, 5)]


async def test_an_index_far_ahead_is_fetched_from_where_it_is(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=64)
    keys = network.form(ksid, 5000)
    assert (await network.app1.get(ksid, index=4500)).key == keys[4500]
    for index in range(5000):
        if index != 4500:
            got = await network.app1.get(ksid)
            assert (got.index, got.key) == (index, keys[index])


async def test_a_past_index_is_status_2_at_once(network: Network) -> None:
    ksid = await network.connect(timeout=5000)
    network.form(ksid, 2)
    await network.app1.get(ksid)
    begun = now()
    got = await network.app1.get(ksid, index=0)
    assert (got.status, got.index, got.key) == (2, 0, b"")
    assert now() == begun


async def test_a_future_index_is_waited_for(network: Network) -> None:
    ksid = await network.connect(timeout=5000)
    waiting = asyncio.create_task(network.app1.get(ksid, index=2))
    await asyncio.sleep(1)
    network.form(ksid, 2)
    await asyncio.sleep(1)
    assert not waiting.done()
    key = network.form(ksid, 1)[0]
    assert (await waiting).key == key
    late = await network.app1.get(ksid, index=99)
    assert (late.status, late.index) == (2, 99)


async def test_only_the_application_of_the_stream_reads_it(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 2)
    stranger = network.alice.app("app9")
    with pytest.raises(Unauthorised):
        await stranger.get(ksid)
    with pytest.raises(Unauthorised):
        await stranger.many(ksid, 1)
    with pytest.raises(Unauthorised):
        await stranger.close(ksid)
    assert await stranger.streams() == []
    assert (await network.alice.app("*").get(ksid)).key == keys[0]
    assert (await network.alice.app(OPERATOR).get(ksid)).key == keys[1]


async def test_an_unknown_ksid_is_status_9(network: Network, new_ksid: bytes) -> None:
    assert (await network.app1.get(new_ksid)).status == 9
    assert (await network.app1.many(new_ksid, 3)).status == 9
    assert (await network.app1.close(new_ksid)).status == 9


async def test_an_unknown_ksid_is_status_3_when_strict(idle: Network, new_ksid: bytes) -> None:
    idle.alice.strict_status = True
    await idle.start()
    assert (await idle.app1.get(new_ksid)).status == 3
    assert (await idle.app1.close(new_ksid)).status == 3


@pytest.mark.parametrize("ksid", [b"", b"short", bytes(16)])
async def test_what_is_no_ksid_is_refused(network: Network, ksid: bytes) -> None:
    with pytest.raises(Refused):
        await network.app1.get(ksid)
    with pytest.raises(Refused):
        await network.app1.close(ksid)


async def test_what_is_delivered_is_acknowledged_within_a_second(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 10)
    for _ in range(7):
        await network.app1.get(ksid)
    await asyncio.sleep(1)
    row = next(iter(network.alice.keysync.opens.values()))
    assert row.wiped >= set(range(6)), "all but the last, which may be asked for again"
    assert 6 not in row.wiped
    await asyncio.sleep(32)
    assert row.wiped == set(range(7))


async def test_an_idle_stream_is_left_alone(network: Network) -> None:
    await network.connect()
    await asyncio.sleep(70)
    before = len(network.alice.keysync.takes)
    await asyncio.sleep(300)
    assert len(network.alice.keysync.takes) - before <= 11


async def test_a_small_window_is_freed_as_it_is_read(network: Network) -> None:
    """The bits of a window of two keys: each must be acknowledged before the next can be formed."""
    ksid = await network.connect(timeout=9000)
    row = next(iter(network.alice.keysync.opens.values()))
    made = network.form(ksid, 2)
    begun = now()
    for index in range(10):
        waiting = asyncio.create_task(network.app1.get(ksid))
        while not waiting.done():
            await asyncio.sleep(0.01)
            if len(made) - len(row.wiped) < 2:
                made += network.form(ksid, 1)
        assert (await waiting).key == made[index]
    assert now() - begun < 2
