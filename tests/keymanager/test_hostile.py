"""Applications and neighbours that ask for what cannot be, or for too much of it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Exhausted
from qkdbus.wire import keymanager_pb2 as km
from qkdbus_keymanager import delivery, opening

if TYPE_CHECKING:
    from .network import Network

SANE = {"key_chunk_size": 16, "max_bps": 0, "min_bps": 0, "jitter": 0, "priority": 0, "timeout": 1000, "ttl": 60}
IMPOSSIBLE: list[dict[str, Any]] = [
    {**SANE, "key_chunk_size": 0},
    {**SANE, "key_chunk_size": 2**32 - 1},
    {**SANE, "metadata_mimetype": "application/json;" + "x" * 100_000},
]


@pytest.mark.parametrize("wrong", IMPOSSIBLE, ids=["no size", "huge", "long"])
async def test_a_neighbours_answer_with_a_qos_that_cannot_be_is_not_adopted(
    network: Network, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    assert network.alice.manager is not None and network.bob.manager is not None

    def announce(request: km.Announce, call: Call) -> km.Announced:
        return km.Announced(qos=km.QoS(**wrong), oid=os.urandom(16), attached=True)

    monkeypatch.setattr(network.alice.manager.next_door, "announce", announce)
    opened = await network.app2.open(source="app2@Bob", destination="app1@Alice", timeout=1000)
    assert opened.status == 4 and "cannot be" in opened.reason
    for stream in network.bob.manager.registry.streams.values():
        assert 0 < stream.chunk <= 65_536


@pytest.mark.parametrize("wrong", IMPOSSIBLE, ids=["no size", "huge", "long"])
async def test_a_neighbours_announcement_with_a_qos_that_cannot_be_is_refused(
    network: Network, new_ksid: bytes, wrong: dict[str, Any]
) -> None:
    manager = network.bob.manager
    assert manager is not None
    network.cut = True  # Bob's own announcement is not answered: he would take on what Alice says
    opening_there = asyncio.create_task(network.app2.open(new_ksid, timeout=5000))
    await asyncio.sleep(0.1)
    said = km.Announce(
        ksid=new_ksid,
        source="app1@Alice",
        destination="app2@Bob",
        qos=km.QoS(**wrong),
        attached=True,
        oid=os.urandom(16),
    )
    answer = manager.next_door.announce(said, Call("Alice"))
    assert answer.status == 7
    stream = manager.registry.streams[new_ksid]
    assert stream.chunk == 32 and not stream.peer_attached
    await opening_there


async def test_a_mimetype_may_not_be_long(network: Network) -> None:
    opened = await network.app1.open(metadata_mimetype="application/json;" + "x" * 100_000)
    assert opened.status == 7
    assert opened.qos.metadata_mimetype == "application/json"


async def test_fields_that_nobody_knows_are_not_kept(network: Network) -> None:
    manager = network.alice.manager
    assert manager is not None
    unknown = b"\xfa\xff\x7f" + b"\xa0\x8d\x06" + bytes(100_000)  # field 262143, 100,000 octets long
    qos = km.QoS.FromString(km.QoS(key_chunk_size=16).SerializeToString() + unknown)
    assert qos.ByteSize() > 100_000
    opened = await network.app1.call(
        "open_connect", km.OpenConnect(source="app1@Alice", destination="app2@Bob", qos=qos)
    )
    assert opened.status == 1
    assert manager.registry.streams[opened.ksid].qos.ByteSize() < 200


async def test_an_application_may_open_only_so_many_streams(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_STREAMS", 5)
    kept = [(await network.app1.open()).ksid for _ in range(5)]
    with pytest.raises(Exhausted, match="5 streams of 'app1'"):
        await network.app1.open()
    other = network.alice.app("app3")
    assert (await other.open(source="app3@Alice")).status == 1, "another application does not mind"
    assert (await network.app2.open(kept[0])).status == 0
    await network.app1.close(kept[1])
    await asyncio.sleep(40)  # until nothing is known of it any more
    assert (await network.app1.open()).status == 1


async def test_who_makes_up_callers_pushes_out_none_but_its_own(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MOST_CALLERS", 16)
    ksid = await network.connect(key_chunk_size=8)
    network.form(ksid, 3)
    await asyncio.sleep(0.1)
    first = await network.app1.get(ksid)
    manager = network.alice.manager
    assert manager is not None
    for number in range(200):
        call = Call(OPERATOR, number.to_bytes(16, "big"), 1, 1)
        manager.get_key(km.GetKey(ksid=os.urandom(16)), call)
    assert len(manager.registry.callers) <= 17
    again = await network.app1.get(ksid, number=network.app1.number)
    assert (again.index, again.key) == (first.index, first.key), "its delivery was forgotten"
