"""The same call again: the same index and the same bits, in memory and after a crash (agreement 5.5)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from qkdbus.errors import Exhausted, Refused
from qkdbus_keymanager import delivery

if TYPE_CHECKING:
    from .network import Network


async def test_a_repeated_call_gets_the_same_key(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 3)
    first = await network.app1.get(ksid, size=100, number=5, settled=5)
    again = await network.app1.get(ksid, size=100, number=5, settled=5)
    assert (again.index, again.key) == (first.index, first.key) == (0, keys[0])
    assert again.metadata
    assert (await network.app1.get(ksid, number=6, settled=6)).index == 1


async def test_many_calls_in_flight_are_all_remembered(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 64)
    for number in range(1, 65):
        await network.app1.get(ksid, number=number, settled=1)
    for number in reversed(range(1, 65)):
        got = await network.app1.get(ksid, number=number, settled=1)
        assert (got.index, got.key) == (number - 1, keys[number - 1])


async def test_many_calls_in_flight_are_remembered_over_a_crash(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 70)
    for number in range(1, 65):
        await network.app1.get(ksid, number=number, settled=1)
    await asyncio.sleep(1)
    await network.alice.restart()
    repeats = [network.app1.get(ksid, number=number, settled=1) for number in range(1, 65)]
    assert [got.key for got in await asyncio.gather(*repeats)] == keys[:64]
    assert (await network.app1.get(ksid, number=65, settled=65)).key == keys[64]


async def test_many_keys_are_repeated_as_one_piece(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 50)
    first = await network.app1.many(ksid, 40, number=9, settled=9)
    again = await network.app1.many(ksid, 40, number=9, settled=9)
    await network.alice.restart()
    later = await network.app1.many(ksid, 40, number=9, settled=9)
    assert first.keys == again.keys == later.keys == b"".join(keys[:40])
    assert (later.index, later.count) == (0, 40)


async def test_what_is_settled_is_wiped_and_refused(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 3)
    await network.app1.get(ksid, number=1)
    assert network.alice.manager is not None
    stream = network.alice.manager.registry.streams[ksid]
    bits = stream.buffer.runs[0].bits
    assert any(bits[:32])
    await network.app1.get(ksid, number=2)
    assert bits[:32] == bytes(32)
    assert any(bits[32:64])
    network.app1.number = 2
    await network.app1.streams()  # so says whoever leaves
    assert bits[32:64] == bytes(32)
    with pytest.raises(Refused):
        await network.app1.get(ksid, number=1, settled=1)


async def test_a_repeat_while_the_first_still_waits_is_one_delivery(network: Network) -> None:
    ksid = await network.connect(timeout=5000)
    calls = [asyncio.create_task(network.app1.get(ksid, number=3, settled=3)) for _ in range(3)]
    await asyncio.sleep(1)
    keys = network.form(ksid, 2)
    assert [(await call).key for call in calls] == [keys[0]] * 3
    assert (await network.app1.get(ksid, number=4)).key == keys[1]


async def test_a_call_that_was_given_up_takes_no_key(network: Network) -> None:
    ksid = await network.connect(timeout=20_000)
    given_up = asyncio.create_task(network.app1.get(ksid, number=3, settled=3))
    await asyncio.sleep(1)
    waiting = asyncio.create_task(network.app1.get(ksid, number=4, settled=4))
    await asyncio.sleep(0.5)
    key = network.form(ksid, 1)[0]
    assert (await waiting).key == key
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_a_caller_without_a_name_is_not_remembered(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 2)
    network.app1.caller = b""
    assert (await network.app1.get(ksid, number=1)).key == keys[0]
    assert (await network.app1.get(ksid, number=1)).key == keys[1]
    await asyncio.sleep(1)
    assert next(iter(network.alice.keysync.opens.values())).wiped == {0, 1}


async def test_another_user_with_the_same_caller_gets_another_key(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 2)
    everyone = network.alice.app("*")
    everyone.caller = network.app1.caller
    assert (await network.app1.get(ksid, number=1)).key == keys[0]
    assert (await everyone.get(ksid, number=1)).key == keys[1]


async def test_a_repeat_for_another_stream_is_refused(network: Network) -> None:
    first, second = await network.connect(), await network.connect()
    network.form(first, 1)
    network.form(second, 1)
    await network.app1.get(first, number=100)
    with pytest.raises(Refused):
        await network.app1.get(second, number=100)


async def test_a_silent_caller_is_forgotten_after_half_a_minute(network: Network) -> None:
    ksid = await network.connect()
    network.form(ksid, 2)
    await network.app1.get(ksid, number=1)
    assert network.alice.manager is not None
    registry = network.alice.manager.registry
    assert registry.store.sizes()["caller"] == 1
    await asyncio.sleep(33)
    assert registry.store.sizes()["caller"] == 0
    assert len(registry.callers) == 0
    assert network.alice.manager.registry.streams[ksid].buffer.runs[0].bits[:32] == bytes(32)


async def test_a_caller_that_settles_nothing_is_stopped(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MOST_ANSWERS", 256)
    ksid = await network.connect(key_chunk_size=1)
    network.form(ksid, 500)
    for number in range(1, 257):
        await network.app1.get(ksid, number=number, settled=1)
    with pytest.raises(Exhausted):
        await network.app1.get(ksid, number=257, settled=1)
    assert (await network.app1.get(ksid, number=256, settled=1)).status == 0, "a repeat is no new call"


async def test_one_row_per_caller_is_written(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=1)
    network.form(ksid, 500)
    for number in range(1, 400):
        await network.app1.get(ksid, number=number, settled=1)
    assert network.alice.manager is not None
    assert network.alice.manager.registry.store.sizes()["caller"] == 1


async def test_no_key_is_in_the_state_file(network: Network) -> None:
    ksid = await network.connect()
    keys = network.form(ksid, 20)
    for number in range(1, 15):
        await network.app1.get(ksid, number=number, settled=1)
    files = [file for file in network.alice.file.parent.iterdir() if file.name.startswith("Alice")]
    written = b"".join(file.read_bytes() for file in files)
    assert not any(key in written for key in keys)
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert os.path.getsize(network.alice.file) > 0


@pytest.mark.parametrize("many", [False, True])
async def test_a_call_that_waited_in_vain_takes_no_key_when_it_is_repeated_too_late(
    network: Network, many: bool
) -> None:
    """The repeat crossed the answer on its way: its caller has that answer, and would never hear of the key."""
    ksid = await network.connect(timeout=300)
    app = network.app1

    async def ask(number: int) -> tuple[int, int]:
        got = await (app.many(ksid, 1, number, settled=1) if many else app.get(ksid, number=number, settled=1))
        return got.status, got.index

    told, _ = await ask(1)
    assert told != 0
    keys = network.form(ksid, 2)
    assert (await ask(1))[0] == told
    assert await ask(2) == (0, 0), "the first key is there for the next call"
    assert (await app.get(ksid, number=3, settled=3)).key == keys[1]
    assert network.alice.manager is not None
    [caller] = network.alice.manager.registry.callers._callers.values()
    assert caller.dry == {}, "what is settled is forgotten"


async def test_calls_that_waited_in_vain_are_remembered_within_a_bound(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MOST_DRY", 3)
    ksid = await network.connect(timeout=0)
    for number in range(1, 9):
        assert (await network.app1.get(ksid, number=number, settled=1)).status != 0
    assert network.alice.manager is not None
    [caller] = network.alice.manager.registry.callers._callers.values()
    assert list(caller.dry) == [6, 7, 8]
