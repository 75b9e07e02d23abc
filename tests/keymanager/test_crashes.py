"""The crash points of the agreement (section 7, M1-M7, X1) and what its section 6 says of lost power."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from qkdbus.contracts.call import Call
from qkdbus.wire import keymanager_pb2 as km

if TYPE_CHECKING:
    from .network import Network


async def test_m1_killed_before_open_stream_was_sent(network: Network) -> None:
    network.alice.keysync.silent = True
    opened = await network.app1.open()
    await network.alice.restart()
    network.alice.keysync.silent = False
    await network.app2.open(opened.ksid)
    await asyncio.sleep(6)
    key = network.form(opened.ksid, 1)[0]
    assert (await network.app1.get(opened.ksid)).key == key


async def test_m2_killed_before_the_answer_of_open_stream_was_stored(network: Network) -> None:
    network.alice.keysync.deaf_to.add("open_stream")
    opened = await network.app1.open()
    await asyncio.sleep(0.5)
    assert len(network.alice.keysync.opens) == 1
    await network.alice.restart()
    network.alice.keysync.deaf_to.clear()
    await network.app2.open(opened.ksid)
    await asyncio.sleep(6)
    assert len(network.alice.keysync.opens) == 1, "asked again with the same oid"
    key = network.form(opened.ksid, 1)[0]
    assert (await network.app1.get(opened.ksid)).key == key


async def test_open_stream_is_never_repeated_once_it_was_answered(network: Network) -> None:
    await network.connect()
    asked = network.alice.keysync.asked
    assert asked.count("open_stream") == 1
    await network.alice.restart()
    await asyncio.sleep(30)
    assert asked.count("open_stream") == 1


async def test_m3_killed_between_take_and_delivery(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 3)
    await asyncio.sleep(0.5)
    await network.alice.restart()
    assert [(await network.app1.get(ksid)).key for _ in range(3)] == keys


async def test_m4_killed_after_the_cursor_was_stored(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 3)
    await network.app1.get(ksid, number=1, settled=1)  # the answer is lost
    await network.alice.restart()
    again = await network.app1.get(ksid, number=1, settled=1)
    assert (again.index, again.key) == (0, keys[0])
    assert (await network.app1.get(ksid, number=2)).key == keys[1]


async def test_m4_killed_before_the_cursor_was_stored(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 3)
    await asyncio.sleep(0.2)
    assert network.alice.manager is not None
    call = Call("app1", network.app1.caller, 50, 50)
    answer = network.alice.manager.get_key(km.GetKey(ksid=ksid), call)  # neither committed nor sent
    assert isinstance(answer, km.Key)
    await network.alice.restart()
    assert (await network.app1.get(ksid, number=50)).key == answer.key == keys[0]


async def test_m5_killed_before_the_acknowledging_take(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 5)
    for _ in range(4):
        await network.app1.get(ksid)
    row = next(iter(network.alice.keysync.opens.values()))
    await network.alice.restart()
    await asyncio.sleep(1)
    assert row.wiped == {0, 1, 2}, "not the last: it may be asked for again"
    assert (await network.app1.get(ksid)).index == 4


async def test_a_repeated_call_waits_for_its_key_while_keysync_is_away_longer_than_the_timeout(
    network: Network,
) -> None:
    ksid = await network.connect(timeout=1000)
    network.form(ksid, 5)
    first = await network.app1.get(ksid, number=7)
    network.alice.keysync.silent = True
    await network.alice.restart()
    again = asyncio.ensure_future(network.app1.get(ksid, number=7))
    await asyncio.sleep(20)
    assert not again.done(), "another answer than its key would lose that"
    network.alice.keysync.silent = False
    got = await again
    assert (got.status, got.index, got.key) == (0, first.index, first.key)
    assert (await network.app1.get(ksid, number=8)).index == first.index + 1


async def test_m6_killed_before_close_stream_was_sent(network: Network) -> None:
    ksid = await network.connect()
    network.alice.keysync.silent = True
    assert (await network.app1.close(ksid)).status == 0
    await network.alice.restart()
    assert (await network.app1.get(ksid)).status == 9
    assert (await network.app1.open(ksid)).status == 5
    network.alice.keysync.silent = False
    await asyncio.sleep(6)
    assert network.alice.keysync.opens == {}


async def test_m7_killed_before_the_tombstone_was_stored(network: Network) -> None:
    ksid = await network.connect()
    network.alice.keysync.deaf_to.add("close_stream")
    await network.app1.close(ksid)
    await asyncio.sleep(0.5)
    assert network.alice.keysync.opens == {}
    await network.alice.restart()
    network.alice.keysync.deaf_to.clear()
    await asyncio.sleep(6)
    assert network.alice.manager is not None
    assert network.alice.manager.registry.store.sizes() == {"assoc": 0, "tombstone": 1, "caller": 0}
    assert (await network.app1.open(ksid)).status == 5
    assert (await network.app1.close(ksid)).status == 0


async def test_killed_at_any_moment_no_key_is_given_twice_or_lost(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=8)
    keys = network.form(ksid, 60)
    got = []
    for turn in range(30):
        answers = [await network.app1.get(ksid) for _ in range(2)]
        got += [(answer.index, answer.key) for answer in answers]
        await asyncio.sleep((turn * 37 % 100) / 100)
        await (network.alice, network.bob)[turn % 2].restart()
        await asyncio.sleep(0.01)
    assert got == list(enumerate(keys))


async def test_x1_what_an_earlier_store_had_opened_is_closed(network: Network) -> None:
    ksid = await network.connect()
    network.alice.kill()
    for file in network.alice.file.parent.glob("Alice.sqlite*"):
        file.unlink()
    await network.alice.start()
    await asyncio.sleep(1)
    assert network.alice.keysync.opens == {}
    assert (await network.app1.get(ksid)).status == 9


async def test_after_a_loss_of_power_streams_are_ended(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 3)
    await network.app1.get(ksid)
    network.alice.boot_id = "boot-2"
    await network.alice.restart()
    await asyncio.sleep(1)
    assert [(await network.app1.get(ksid)).status for _ in range(2)] == [4, 9]
    assert network.alice.keysync.opens == {}
    assert (await network.app2.open(ksid)).status == 5


async def test_after_an_orderly_stop_streams_go_on_whatever_booted(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 3)
    await network.app1.get(ksid, number=1)
    assert network.alice.manager is not None
    await network.alice.manager.stop()
    network.alice.manager = None
    network.alice.boot_id = "boot-2"
    await network.alice.start()
    await asyncio.sleep(1)
    assert (await network.app1.get(ksid, number=1, settled=1)).key == keys[0]
    assert (await network.app1.get(ksid, number=2)).key == keys[1]


async def test_a_clean_mark_serves_once(network: Network) -> None:
    ksid = await network.connect()
    assert network.alice.manager is not None
    await network.alice.manager.stop()
    network.alice.manager = None
    await network.alice.start()
    network.alice.boot_id = "boot-3"
    await network.alice.restart()
    await asyncio.sleep(1)
    assert (await network.app1.get(ksid)).status == 4


async def test_with_durability_power_a_new_boot_changes_nothing(idle: Network) -> None:
    idle.alice.durability = "power"
    await idle.start()
    ksid = await idle.connect()
    key = idle.form(ksid, 1)[0]
    idle.alice.boot_id = "boot-2"
    await idle.alice.restart()
    assert (await idle.app1.get(ksid)).key == key


async def test_tombstones_outlive_a_crash(network: Network) -> None:
    ksid = await network.connect()
    await network.app1.close(ksid)
    await network.app2.close(ksid)
    await asyncio.sleep(1)
    await network.alice.restart()
    assert (await network.app1.open(ksid)).status == 5
    await asyncio.sleep(35)
    assert (await network.app1.open(ksid, timeout=0)).status == 1


async def test_a_commit_that_fails_is_fatal_and_answers_nothing(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 2)
    await asyncio.sleep(0.2)
    assert network.alice.manager is not None
    manager = network.alice.manager
    manager.registry.store.close()
    with pytest.raises(sqlite3.Error):
        await network.app1.get(ksid)
    with pytest.raises(sqlite3.Error):
        manager.commit()
    assert manager.waiting_for()
    manager._tasks.cancel()
    network.alice.manager = None
    network.alice.failures.clear()


async def test_it_is_ready_once_keysync_has_answered(idle: Network) -> None:
    idle.alice.keysync.silent = True
    await idle.alice.start()
    await asyncio.sleep(5)
    assert idle.alice.manager is not None
    assert "keysync" in idle.alice.manager.waiting_for()
    idle.alice.keysync.silent = False
    await asyncio.sleep(5)
    assert idle.alice.manager.waiting_for() == ""


async def test_a_node_that_comes_back_is_told_again(network: Network) -> None:
    opened = await network.app1.open()
    await network.bob.restart()
    assert (await network.app2.open(opened.ksid, timeout=2000)).status == 0
    await asyncio.sleep(0.5)
    key = network.form(opened.ksid, 1)[0]
    assert (await network.app1.get(opened.ksid)).key == (await network.app2.get(opened.ksid)).key == key
