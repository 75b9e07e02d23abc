"""The service, two nodes, a fibre: what a key manager sees."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from qkdbus.wire import keysync_pb2 as wire

KSID, A, B = b"k" * 16, b"a" * 16, b"b" * 16
WINDOW = 32  # keys of 32 octets


def keys(taken: wire.Taken, size: int = 32) -> dict[int, bytes]:
    """Return the chunks of an answer by index."""
    return {run.first + n: run.bits[n * size : (n + 1) * size] for run in taken.runs for n in range(run.count)}


async def full(net: Any, a: bytes = A, b: bytes = B, to: int = WINDOW) -> None:
    """Wait until both ends may take so many chunks."""
    await net.until(lambda: net.alice.take(a).next_index >= to and net.bob.take(b).next_index >= to)


async def test_both_ends_get_the_same_keys(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    mine, theirs = keys(net.alice.take(A)), keys(net.bob.take(B))
    assert mine == theirs
    assert sorted(mine) == list(range(WINDOW))
    assert len(set(mine.values())) == WINDOW


async def test_a_stream_waits_until_the_other_end_has_opened_it(net: Any) -> None:
    net.alice.open(KSID, A)
    assert net.alice.take(A).state == wire.WAITING
    net.bob.open(KSID, B)
    await net.until(lambda: net.alice.take(A).state == wire.OPEN)


async def test_the_first_keys_are_there_at_once_whoever_opens_last(net: Any) -> None:
    net.bob.open(KSID, B)
    await asyncio.sleep(0.02)
    before = asyncio.get_running_loop().time()
    net.alice.open(KSID, A)
    await full(net, to=1)
    assert asyncio.get_running_loop().time() - before < 0.5  # no timer of a second in between


async def test_take_is_idempotent_and_wipes_only_what_it_is_told(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    first = keys(net.alice.take(A))
    assert keys(net.alice.take(A)) == first
    later = net.alice.take(A, low=3, done=[5, 2, 9, 1])
    assert sorted(keys(later))[:6] == [3, 4, 7, 8, 10, 11]
    assert sorted(keys(net.alice.take(A, low=3, done=[5, 2, 9, 1], after=7)))[:3] == [7, 8, 10]
    assert all(first[index] == key for index, key in keys(later).items() if index in first)


async def test_an_answer_is_no_longer_than_asked(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    assert sorted(keys(net.alice.take(A, max_bytes=100))) == [0, 1, 2]
    assert sorted(keys(net.alice.take(A, max_bytes=1))) == [0]  # one chunk at least, or nobody would ever get on
    assert not net.alice.take(A, max_bytes=0).runs


async def test_delivered_keys_make_room_for_new_ones_at_the_pace_of_the_slower_end(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    net.alice.take(A, low=20)
    await asyncio.sleep(0.05)
    assert net.alice.take(A, low=20).next_index == WINDOW
    net.bob.take(B, low=10)
    await full(net, to=WINDOW + 10)
    await asyncio.sleep(0.05)
    assert net.bob.take(B, low=10).next_index == WINDOW + 10


async def test_a_lot_of_keys_pass_through_a_small_window(net: Any) -> None:
    await net.pair(KSID, A, B)
    got: list[dict[int, bytes]] = [{}, {}]
    lows = [0, 0]
    while min(lows) < 1_000:
        for side, (node, oid) in enumerate(((net.alice, A), (net.bob, B))):
            new = keys(node.take(oid, low=lows[side], after=lows[side]))
            got[side].update(new)
            lows[side] += len(new)
        await asyncio.sleep(0)
    both = got[0].keys() & got[1].keys()
    assert len(both) >= 1_000
    assert all(got[0][index] == got[1][index] for index in both)
    assert len({got[0][index] for index in both}) == len(both)
    rows = net.alice.store.read("SELECT count(*) FROM chunk").fetchone()[0]
    assert rows <= WINDOW + 2


@pytest.mark.parametrize(("shorten", "size"), [(0, 32), (13, 32), (2047, 1), (1, 7), (0, 512)])
async def test_blocks_of_any_length_become_chunks_of_any_size(net: Any, shorten: int, size: int) -> None:
    net.fibre.shorten = shorten
    await net.pair(KSID, A, B, chunk_size=size)
    await full(net, to=2)
    mine, theirs = keys(net.alice.take(A), size), keys(net.bob.take(B), size)
    assert mine[0] == theirs[0]
    assert mine[1] == theirs[1]
    assert {len(key) for key in mine.values()} == {size}


async def test_exchanges_run_side_by_side_and_never_for_more_than_is_lacking(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    assert sum(net.alice.dispatcher.asked) == WINDOW * 256
    net.fibre.cut = True
    for low in (2, 3):
        net.alice.take(A, low=low)
        net.bob.take(B, low=low)
    await net.until(lambda: len(net.alice.dispatcher.asked) > WINDOW // 8)
    assert set(net.alice.dispatcher.asked[WINDOW // 8 :]) <= {512, 256, 768}


async def test_a_link_begins_with_one_exchange(net: Any) -> None:
    net.fibre.cut = True
    await net.pair(KSID, A, B)
    await net.until(lambda: len(net.alice.dispatcher.asked) >= 2)
    running = [row for row in net.alice.end.tables.jobs() if not row.formed]
    assert len(running) <= 1, "none has given a block yet"
    net.fibre.cut = False
    await full(net)
    assert net.alice.end.book.proved


async def test_a_job_that_runs_at_the_follower_is_not_prepared_again_until_it_is_lost_there(net: Any) -> None:
    net.fibre.light.clear()
    await net.pair(KSID, A, B)

    def prepared() -> int:
        return sum(message.HasField("prepare") for message in net.alice.said)

    await net.until(lambda: bool(net.alice.end.book.taken))
    before = prepared()
    for _ in range(5):
        net.alice.link.tick()
        net.alice.service.settle()
    assert prepared() == before
    await net.bob.kill()
    await net.bob.start()
    await net.until(lambda: prepared() > before)
    net.fibre.light.set()
    await full(net)


async def test_a_killed_node_goes_on_where_it_was(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    before = keys(net.alice.take(A))
    for node in (net.alice, net.bob):
        await node.kill()
        await node.start()
        assert node.fresh == ""
    assert keys(net.alice.take(A)) == before == keys(net.bob.take(B))
    net.alice.take(A, low=8)
    net.bob.take(B, low=8)
    await full(net, to=WINDOW + 8)
    assert keys(net.alice.take(A, low=8)) == keys(net.bob.take(B, low=8))


async def test_a_lost_store_ends_the_streams_and_new_ones_work(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    await net.bob.kill()
    await net.bob.start("another boot")
    assert net.bob.fresh == "boot"
    await net.until(lambda: net.alice.take(A).state == wire.GONE)
    assert net.bob.take(B).state == wire.GONE
    assert ("available", {"oid": A.hex()}) in net.alice.events
    await net.pair(KSID, b"c" * 16, b"d" * 16)
    await full(net, b"c" * 16, b"d" * 16)
    assert keys(net.alice.take(b"c" * 16)) == keys(net.bob.take(b"d" * 16))


async def test_a_cut_network_is_silence_and_then_life_goes_on(net: Any) -> None:
    net.dropping = True
    net.alice.open(KSID, A)
    net.bob.open(KSID, B)
    await asyncio.sleep(0.05)
    assert net.alice.take(A).state == wire.WAITING
    net.dropping = False
    await full(net)
    assert net.alice.status().state == net.bob.status().state == "up"


async def test_close_drains_the_other_end_and_frees_the_name(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    net.alice.ask("close_stream", wire.CloseStream(oid=A))
    net.alice.ask("close_stream", wire.CloseStream(oid=A))
    assert net.alice.take(A).state == wire.GONE
    await net.until(lambda: net.bob.take(B).state == wire.DRAINING)
    assert len(keys(net.bob.take(B))) == WINDOW
    net.bob.ask("close_stream", wire.CloseStream(oid=B))
    await net.until(lambda: not net.alice.end.tables.streams() and not net.bob.end.tables.streams())
    for node in (net.alice, net.bob):
        assert node.store.read("SELECT count(*) FROM chunk").fetchone()[0] == 0
        assert node.store.read("SELECT count(*) FROM material").fetchone()[0] == 0
    await net.pair(KSID, b"c" * 16, b"d" * 16)
    await full(net, b"c" * 16, b"d" * 16)


async def test_many_streams_opened_and_closed_leave_nothing_behind(net: Any) -> None:
    for number in range(60):
        a, b = number.to_bytes(16, "big"), (1_000 + number).to_bytes(16, "big")
        await net.pair(KSID, a, b)
        net.alice.ask("close_stream", wire.CloseStream(oid=a))
        net.bob.ask("close_stream", wire.CloseStream(oid=b))
    tables = ("open", "stream", "chunk", "material", "ledger", "job", "block")
    count = "SELECT count(*) FROM "
    # exchanges that were under way for the last streams end a moment later
    await net.until(lambda: not any(net.alice.store.read(count + table).fetchone()[0] for table in tables))
    assert not net.bob.end.tables.streams()


async def test_keys_expire_and_others_take_their_place(net: Any) -> None:
    await net.pair(KSID, A, B, ttl=10)
    await full(net)
    old = set(keys(net.alice.take(A)).values())
    net.now += 11
    for node in (net.alice, net.bob):
        node.service._tick()
    assert net.alice.take(A).floor == WINDOW
    await full(net, to=2 * WINDOW)
    fresh = keys(net.alice.take(A))
    assert sorted(fresh) == list(range(WINDOW, 2 * WINDOW))
    assert not old & set(fresh.values())
    assert fresh == keys(net.bob.take(B))


async def test_a_reservoir_serves_a_new_stream_at_once(net: Any) -> None:
    for node in (net.alice, net.bob):
        node.end.rules = replace(node.end.rules, reservoir_bits=5_000)
    net.alice.end.replan = True
    net.alice.service.commit()
    await net.until(lambda: net.bob.status().reservoir_bits >= 5_000)
    net.fibre.cut = True
    await net.pair(KSID, A, B)
    await full(net, to=5_000 // 256)
    assert keys(net.alice.take(A)) == keys(net.bob.take(B))


async def test_streams_share_a_block_and_priority_goes_first(net: Any) -> None:
    net.fibre.cut = True
    oids = [(bytes([n]) * 16, bytes([n + 100]) * 16) for n in range(3)]
    for n, (a, b) in enumerate(oids):
        await net.pair(bytes([n + 50]) * 16, a, b, priority=int(n == 2))
    net.alice.end.rules = replace(net.alice.end.rules, jobs=1)
    net.fibre.cut = False
    await full(net, *oids[2])
    assert net.alice.take(oids[0][0]).next_index < WINDOW
    for a, b in oids:
        await full(net, a, b)
    all_keys = [key for a, _ in oids for key in keys(net.alice.take(a)).values()]
    assert len(set(all_keys)) == len(all_keys) == 3 * WINDOW


async def test_the_key_manager_is_told_when_keys_are_there(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    assert ("available", {"oid": A.hex()}) in net.alice.events
    assert ("available", {"oid": B.hex()}) in net.bob.events


async def test_open_streams_are_listed_and_opening_twice_is_opening_once(net: Any) -> None:
    for _ in range(2):
        net.alice.open(KSID, A)
    assert list(net.alice.ask("list_opens", wire.ListOpens()).oids) == [A]


async def test_taking_all_of_a_large_stock_gives_every_key_once(net: Any) -> None:
    size, stock = 32, 1 << 21
    for node in (net.alice, net.bob):
        node.end.rules = replace(node.end.rules, block_bits=1 << 22, window_bytes=stock)
    await net.pair(KSID, A, B, chunk_size=size)
    await full(net, to=stock // size)
    net.fibre.cut = True
    assert net.alice.store.read("SELECT count(*) FROM chunk").fetchone()[0] <= 2 * stock // (64 << 10)
    seen: set[bytes] = set()
    low = 0
    while low < stock // size:
        run = keys(net.alice.take(A, low=low, after=low, max_bytes=100_000))
        assert min(run) == low
        seen.update(run.values())
        low += len(run)
    assert len(seen) == stock // size
    net.alice.take(A, low=low)
    assert net.alice.store.read("SELECT count(*) FROM material").fetchone()[0] == 0


async def test_a_link_that_the_network_has_no_more_is_forgotten(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    await net.alice.kill()
    net.alice.peer = "carol"
    await net.alice.start()
    for table in ("link", "open", "stream", "chunk", "material"):
        rows = net.alice.store.read(f"SELECT * FROM {table}").fetchall()
        assert not any("bob" in row for row in rows)
    assert net.alice.store.read("SELECT count(*) FROM material").fetchone()[0] == 0
