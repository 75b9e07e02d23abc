"""Keys for an asyncio program."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qkdbus.errors import Silent
from qkdbus_client import AsyncClient, QoS, Status

if TYPE_CHECKING:
    from .conftest import Door


async def test_many_calls_are_in_flight_at_once(home: Path, door: Door) -> None:
    async with AsyncClient("Alice", network="three-sites", home=home) as alice:
        opened = await alice.open_connect("app1@Alice", "app2@Bob", QoS(key_chunk_size=16))
        assert opened.ksid is not None
        begun = asyncio.get_running_loop().time()
        got = await asyncio.gather(*(alice.get_key(opened.ksid) for _ in range(64)))
        assert sorted(answer.index for answer in got) == list(range(64))
        assert len({answer.key for answer in got}) == 64
        assert asyncio.get_running_loop().time() - begun < 0.5, "each takes 10 ms"
        many = await alice.get_keys(opened.ksid, 16)
        assert (many.count, len(many.keys[0])) == (16, 16)
        assert len(await alice.list_streams()) == 1
        assert (await alice.close(opened.ksid)).status is Status.SUCCESSFUL
    assert min(call.settled for call in door.manager.calls) >= 1
    assert all(call.settled <= call.number for call in door.manager.calls)


async def test_whoever_leaves_says_that_it_waits_for_nothing(door: Door) -> None:
    async with AsyncClient.at(door.endpoint, **door.keys) as alice:
        opened = await alice.open_connect("app1@Alice", "app2@Bob")
        assert opened.ksid is not None
        await asyncio.gather(*(alice.get_key(opened.ksid) for _ in range(8)))
    last = await asyncio.to_thread(door.last_words)
    assert last.settled > max(call.number for call in door.manager.calls)


async def test_nobody_there_is_silent_after_the_patience() -> None:
    async with AsyncClient.at("tcp://127.0.0.1:9", patience=0.3) as alice:
        with pytest.raises(Silent):
            await alice.open_connect("app1@Alice", "app2@Bob")


async def test_a_client_that_never_called_ends_quietly(home: Path) -> None:
    async with AsyncClient("Alice", network="three-sites", home=home):
        pass
