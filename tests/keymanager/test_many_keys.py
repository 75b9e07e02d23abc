"""Metadata, and many keys at once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from qkdbus.errors import Refused

if TYPE_CHECKING:
    from .network import Network


async def test_metadata_comes_as_the_size_allows(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=9)
    keys = network.form(ksid, 3)
    await asyncio.sleep(2)
    assert (await network.app1.get(ksid, size=0)).metadata == b""
    assert json.loads((await network.app1.get(ksid, size=30)).metadata) == {"age": 2000, "hops": 0}
    told = json.loads((await network.app1.get(ksid, size=1024)).metadata)
    assert told["apportioned"]["created"] == 300.0  # 72 of 720 key bits
    assert told["exchange_duration"] == 0.5
    assert len(keys) == 3


async def test_too_small_a_metadata_buffer_is_status_8_and_costs_no_key(network: Network) -> None:
    ksid = await network.connect()
    key = network.form(ksid, 1)[0]
    got = await network.app1.get(ksid, size=4)
    assert (got.status, got.key, got.metadata) == (8, b"", b"")
    again = await network.app1.get(ksid, size=got.metadata_size)
    assert (again.status, again.index, again.key) == (0, 0, key)
    assert len(again.metadata) <= got.metadata_size


async def test_a_stream_without_metadata_gives_none(network: Network) -> None:
    ksid = await network.connect(metadata_mimetype="")
    network.form(ksid, 1)
    got = await network.app1.get(ksid, size=1024)
    assert (got.status, got.metadata) == (0, b"")


async def test_many_keys_come_in_one_piece(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=16)
    keys = network.form(ksid, 100)
    got = await network.app1.many(ksid, 64)
    assert (got.status, got.index, got.count, got.keys) == (0, 0, 64, b"".join(keys[:64]))
    rest = await network.app1.many(ksid, 64)
    assert (rest.index, rest.count, rest.keys) == (64, 36, b"".join(keys[64:]))
    assert (await network.app2.many(ksid, 1000)).keys == b"".join(keys)


async def test_many_keys_stop_at_one_that_is_gone(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=16)
    keys = network.form(ksid, 10)
    await network.app1.get(ksid, index=4)
    got = await network.app1.many(ksid, 64)
    assert (got.index, got.count) == (0, 4)
    got = await network.app1.many(ksid, 64)
    assert (got.index, got.keys) == (5, b"".join(keys[5:]))


async def test_many_keys_join_takes(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=16)
    keys = [key for _ in range(3) for key in network.form(ksid, 5)]
    await asyncio.sleep(0.5)
    got = await network.app1.many(ksid, 100)
    assert (got.count, got.keys) == (15, b"".join(keys))


async def test_a_fast_reader_gets_through_a_large_stock_with_large_takes(network: Network) -> None:
    ksid = await network.connect(key_chunk_size=1000)
    keys = network.form(ksid, 6_000)
    at = 0
    while at < len(keys):
        got = await network.app1.many(ksid, 64)
        assert got.status == 0
        assert got.keys == b"".join(keys[at : at + got.count])
        at += got.count
    assert max(take.max_bytes for take in network.alice.keysync.takes) == 1 << 20
    assert len(network.alice.keysync.takes) < 60


async def test_zero_keys_are_refused(network: Network) -> None:
    ksid = await network.connect()
    with pytest.raises(Refused):
        await network.app1.many(ksid, 0)
