"""How streams end: close, drain, TTL, loss; and that nothing of them stays.

Rulings C9, C10, C11; agreement 5.4, 5.6.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qkdbus.wire import keysync_pb2 as ks

from .network import Post

if TYPE_CHECKING:
    from .network import Network


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_close_is_answered_with_0_twice(network: Network) -> None:
    ksid = await network.connect()
    assert (await network.app1.close(ksid)).status == 0
    assert (await network.app1.close(ksid)).status == 0
    await asyncio.sleep(1)
    assert (await network.app1.close(ksid)).status == 0
    await asyncio.sleep(35)
    assert (await network.app1.close(ksid)).status == 9


async def test_after_close_there_is_no_key(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 3)
    await asyncio.sleep(0.2)
    assert network.alice.manager is not None
    bits = network.alice.manager.registry.streams[ksid].buffer.runs[0].bits
    await network.app1.close(ksid)
    assert bits == bytes(len(bits))
    assert (await network.app1.get(ksid)).status == 9
    await asyncio.sleep(1)
    assert (await network.app1.get(ksid)).status == 9


async def test_who_waits_when_the_stream_is_closed_is_told(network: Network) -> None:
    ksid = await network.connect(timeout=9000)
    waiting = asyncio.create_task(network.app1.get(ksid))
    await asyncio.sleep(1)
    await network.alice.app("app1").close(ksid)
    assert (await waiting).status == 9


async def test_a_repeat_after_close_gets_no_key(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 1)
    await network.app1.get(ksid, number=5, settled=5)
    await network.alice.app("app1").close(ksid)
    assert (await network.app1.get(ksid, number=5, settled=5)).status == 9


async def test_the_other_end_drains_and_then_hears_2(network: Network) -> None:
    ksid = await network.connect(timeout=5000)
    keys = network.form(ksid, 3)
    await asyncio.sleep(0.2)
    await network.app1.close(ksid)
    await asyncio.sleep(1)
    assert (await network.app2.streams())[0].state == "draining"
    assert [(await network.app2.get(ksid)).key for _ in range(3)] == keys
    begun = now()
    assert (await network.app2.get(ksid)).status == 2
    assert now() == begun, "nothing more can come, so nothing is waited for"
    await asyncio.sleep(3)
    assert network.bob.keysync.opens == {}
    assert (await network.app2.get(ksid)).status == 2
    assert (await network.app2.close(ksid)).status == 0


async def test_who_waits_hears_when_the_other_end_leaves(network: Network) -> None:
    ksid = await network.connect(timeout=9000)
    waiting = asyncio.create_task(network.app2.get(ksid))
    await asyncio.sleep(1)
    begun = now()
    await network.app1.close(ksid)
    assert (await waiting).status == 2
    assert now() - begun < 1


async def test_leftovers_live_as_long_as_a_key_after_the_close(network: Network) -> None:
    ksid = await network.connect(ttl=20)
    await asyncio.sleep(30)
    network.form(ksid, 3)
    await asyncio.sleep(1)
    await network.app1.close(ksid)
    await asyncio.sleep(15)
    assert len(network.bob.keysync.opens) == 1
    await asyncio.sleep(10)
    assert network.bob.keysync.opens == {}
    assert (await network.app2.get(ksid)).status == 2


async def test_the_leftover_time_runs_on_over_a_crash(network: Network) -> None:
    ksid = await network.connect(ttl=20)
    network.form(ksid, 3)
    await asyncio.sleep(0.1)
    await network.app1.close(ksid)
    await asyncio.sleep(10)
    await network.bob.restart()
    await asyncio.sleep(12)
    assert network.bob.keysync.opens == {}


async def test_a_key_lives_from_its_availability(network: Network) -> None:
    ksid = await network.connect(ttl=10, timeout=0)
    network.form(ksid, 2)
    await asyncio.sleep(6)
    late = network.form(ksid, 1)[0]
    await asyncio.sleep(5)
    got = await network.app1.get(ksid)
    assert (got.index, got.key) == (2, late)
    assert (await network.app1.get(ksid, index=0)).status == 2
    info = (await network.app1.streams())[0]
    assert (info.delivered, info.expired) == (1, 2)


async def test_the_stream_goes_on_after_all_has_expired(network: Network) -> None:
    ksid = await network.connect(ttl=5, timeout=2000)
    network.form(ksid, 4)
    await asyncio.sleep(7)
    key = network.form(ksid, 1)[0]
    got = await network.app1.get(ksid)
    assert (got.index, got.key) == (4, key)


async def test_expired_keys_are_wiped_in_memory_without_any_call(network: Network) -> None:
    ksid = await network.connect(ttl=5)
    network.form(ksid, 4)
    await network.app1.get(ksid, number=1)
    assert network.alice.manager is not None
    stream = network.alice.manager.registry.streams[ksid]
    bits = stream.buffer.runs[0].bits
    await asyncio.sleep(6.5)
    assert bits == bytes(len(bits))
    assert not stream.buffer.runs
    assert (await network.app1.get(ksid, number=1, settled=1)).status == 2, "a remembered answer expires too"


async def test_a_floor_in_the_middle_of_a_take_wipes_only_what_is_below(network: Network) -> None:
    ksid = await network.connect(timeout=0)
    keys = network.form(ksid, 6)
    await asyncio.sleep(0.2)
    assert network.alice.manager is not None
    row = next(iter(network.alice.keysync.opens.values()))
    row.floor = 4
    network.form(ksid, 1)
    await asyncio.sleep(0.2)
    got = await network.app1.get(ksid)
    assert (got.index, got.key) == (4, keys[4])
    stream = network.alice.manager.registry.streams[ksid]
    assert (stream.expired, stream.fresh) == (4, 2)


async def test_ttl_zero_is_for_ever(network: Network) -> None:
    ksid = await network.connect(ttl=0)
    key = network.form(ksid, 1)[0]
    await asyncio.sleep(8_000)
    assert (await network.app1.get(ksid)).key == key


async def test_a_lost_stream_is_4_once_and_then_9_and_may_be_opened_again(network: Network) -> None:
    ksid = await network.connect(timeout=0)
    network.form(ksid, 2)
    network.link.lose()
    await asyncio.sleep(10)
    assert [(await network.app1.get(ksid)).status for _ in range(3)] == [4, 9, 9]
    assert (await network.app1.open(ksid, timeout=0)).status == 1
    assert (await network.app2.open(ksid)).status == 0
    await asyncio.sleep(0.2)
    key = network.form(ksid, 1)[0]
    await asyncio.sleep(0.1)
    got = await network.app1.get(ksid)
    assert (got.index, got.key) == (0, key)


async def test_who_waits_when_the_stream_is_lost_hears_4(network: Network) -> None:
    ksid = await network.connect(timeout=9000)
    waiting = asyncio.create_task(network.app1.get(ksid))
    await asyncio.sleep(1)
    network.link.lose()
    assert (await waiting).status == 4
    assert (await network.app1.get(ksid)).status == 9


async def test_an_answer_of_another_incarnation_is_dropped(network: Network) -> None:
    ksid = await network.connect(timeout=300)
    pair = network.link.pairs[ksid]
    pair.sid = ks.Sid(epoch=ks.Epoch(n=9, r=9), seq=9)
    network.form(ksid, 3)
    assert (await network.app1.get(ksid)).status != 0


async def test_a_departure_is_told_until_it_is_answered(network: Network) -> None:
    ksid = await network.connect()
    network.cut = True
    await network.app1.close(ksid)
    await asyncio.sleep(60)
    assert network.alice.manager is not None
    assert network.alice.manager.registry.store.sizes()["tombstone"] == 1, "kept until it is told"
    await network.alice.restart()
    network.told.clear()
    network.cut = False
    await asyncio.sleep(10)
    assert [method for _, method, _ in network.told if method == "detach"]
    assert network.alice.manager.registry.store.sizes()["tombstone"] == 0


async def test_a_late_departure_does_not_touch_the_next_stream(network: Network) -> None:
    ksid = await network.connect()
    network.link.lose()
    await asyncio.sleep(10)
    assert (await network.app1.open(ksid, timeout=0)).status == 1
    late = next(message for me, method, message in network.told if me == "Alice" and method == "detach")
    assert (await network.app2.open(ksid)).status == 0
    await Post(network, "Alice", "Bob").ask("detach", late)
    await asyncio.sleep(0.2)
    assert (await network.app2.streams())[0].state == "ready"


async def test_hundreds_of_streams_come_and_go_and_leave_nothing(network: Network) -> None:
    for turn in range(300):
        ksid = await network.connect(key_chunk_size=1)
        if turn % 30 == 0:
            network.form(ksid, 1)
            assert (await network.app1.get(ksid)).status == 0
        await network.app1.close(ksid)
        await network.app2.close(ksid)
    await asyncio.sleep(90)
    for site in (network.alice, network.bob):
        assert site.manager is not None
        registry = site.manager.registry
        assert registry.store.sizes() == {"assoc": 0, "tombstone": 0, "caller": 0}
        held = (registry.streams, registry.by_oid, registry.by_opener, registry.known, registry.tombstones)
        assert not any(held)
        assert not registry.lost
        assert len(registry.callers) == 0
        assert len(site.manager._tasks) <= 1, "only the beat"
        assert site.file.stat().st_size < 1_000_000
        assert site.keysync.opens == {}


async def test_a_stream_lost_at_both_ends_is_reopened_before_the_other_end_has_noticed(network: Network) -> None:
    ksid = await network.connect()
    network.link.lose()
    network.alice.keysync.publish("available", oid=(await oid_of(network, ksid)).hex())
    await asyncio.sleep(0.1)
    assert (await network.app1.get(ksid)).status == 4
    opened = asyncio.create_task(network.app1.open(ksid, timeout=5000))
    await asyncio.sleep(3)
    assert (await network.app2.open(ksid)).status == 0
    assert (await opened).status == 0


async def oid_of(network: Network, ksid: bytes) -> bytes:
    assert network.alice.manager is not None
    return network.alice.manager.registry.streams[ksid].oid


async def test_a_key_past_its_time_is_not_served_even_before_it_is_swept(network: Network) -> None:
    ksid = await network.connect(ttl=3, timeout=0)
    for turn in range(6):
        index = network.link.pairs[ksid].next_index
        network.form(ksid, 2)
        await asyncio.sleep(2.9)
        got = await network.app1.get(ksid)
        assert (got.status, got.index) == (0, index)
        await asyncio.sleep(0.11)
        assert (await network.app1.get(ksid)).status == 2
        await asyncio.sleep(0.17 * turn)  # wherever the slow timer stands
