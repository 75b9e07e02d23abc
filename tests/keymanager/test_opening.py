"""OPEN_CONNECT: rulings C1, C6, C7, C8, C12, C13, and who may."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Refused, Unauthorised
from qkdbus.wire import keymanager_pb2 as km

if TYPE_CHECKING:
    from .network import Network


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_without_a_ksid_the_first_gets_one_and_status_1(network: Network) -> None:
    begun = now()
    opened = await network.app1.open(key_chunk_size=16, ttl=9)
    assert opened.status == 1
    assert uuid.UUID(bytes=opened.ksid).version == 4
    assert (opened.qos.key_chunk_size, opened.qos.ttl) == (16, 9)
    assert now() - begun < 0.1, "it does not wait for the other application"


async def test_the_second_gets_status_0_and_the_qos_of_the_first(network: Network) -> None:
    opened = await network.app1.open(key_chunk_size=16, ttl=9, priority=3)
    second = await network.app2.open(opened.ksid, key_chunk_size=64, ttl=1)
    assert second.status == 0
    assert second.qos == opened.qos


async def test_a_null_ksid_may_be_sixteen_zero_octets(network: Network) -> None:
    opened = await network.app1.open(bytes(16))
    assert opened.status == 1
    assert opened.ksid not in (b"", bytes(16))


async def test_a_silent_key_manager_next_door_is_status_6(network: Network) -> None:
    network.cut = True
    begun = now()
    opened = await network.app1.open(timeout=3000)
    assert (opened.status, opened.ksid) == (6, b"")
    assert 2.9 < now() - begun < 3.2
    assert all(stream.state == "closing" for stream in await network.app1.streams())


async def test_a_predefined_ksid_waits_for_the_other_application(network: Network, new_ksid: bytes) -> None:
    first = asyncio.create_task(network.app1.open(new_ksid, timeout=5000))
    await asyncio.sleep(2)
    assert not first.done()
    assert (await network.app2.open(new_ksid)).status == 0
    assert (await first).status == 0


async def test_a_predefined_ksid_is_kept_when_nobody_comes(network: Network, new_ksid: bytes) -> None:
    begun = now()
    opened = await network.app1.open(new_ksid, timeout=1500)
    assert (opened.status, opened.ksid) == (1, new_ksid)
    assert 1.4 < now() - begun < 1.7
    assert (await network.app2.open(new_ksid)).status == 0


async def test_timeout_zero_does_not_wait(network: Network, new_ksid: bytes) -> None:
    begun = now()
    assert (await network.app1.open(new_ksid, timeout=0)).status == 1
    assert now() == begun or now() - begun < 0.01


async def test_timeout_zero_still_lets_the_key_managers_agree(network: Network) -> None:
    assert (await network.app1.open(timeout=0)).status == 1


async def test_both_may_open_at_once_with_different_wishes(network: Network, new_ksid: bytes) -> None:
    first, second = await asyncio.gather(
        network.app1.open(new_ksid, key_chunk_size=16, ttl=5), network.app2.open(new_ksid, key_chunk_size=64, ttl=6)
    )
    assert (first.status, second.status) == (0, 0)
    assert first.qos == second.qos
    await asyncio.sleep(0.1)
    keys = network.form(new_ksid, 1)
    assert (await network.app1.get(new_ksid)).key == (await network.app2.get(new_ksid)).key == keys[0]


async def test_ends_that_promised_different_keys_while_apart_say_so(network: Network, new_ksid: bytes) -> None:
    network.cut = True
    assert (await network.app1.open(new_ksid, key_chunk_size=16, timeout=100)).status == 1
    assert (await network.app2.open(new_ksid, key_chunk_size=64, timeout=100)).status == 1
    network.cut = False
    await asyncio.sleep(6)
    for app in (network.app1, network.app2):
        got = await app.get(new_ksid)
        assert got.status == 4
        assert "keys of" in got.reason


async def test_ends_that_opened_while_apart_come_together(network: Network, new_ksid: bytes) -> None:
    network.cut = True
    assert (await network.app1.open(new_ksid, timeout=100)).status == 1
    assert (await network.app2.open(new_ksid, timeout=100)).status == 1
    network.cut = False
    await asyncio.sleep(6)
    key = network.form(new_ksid, 1)[0]
    assert (await network.app1.get(new_ksid)).key == (await network.app2.get(new_ksid)).key == key


async def test_either_order_of_the_two_applications_will_do(network: Network) -> None:
    opened = await network.app1.open()
    second = await network.app2.open(opened.ksid, source="app2@Bob", destination="qkd://app1@Alice?token=x")
    assert second.status == 0


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("app2@Charlie", "no neighbour"),
        ("app2@Nowhere", "no node Nowhere"),
        ("http://kms-1.net", "no node is known"),
        ("app2@Alice", "no neighbour"),
    ],
)
async def test_where_no_link_leads_is_status_4(network: Network, destination: str, said: str) -> None:
    opened = await network.app1.open(destination=destination)
    assert opened.status == 4
    assert said in opened.reason
    assert await network.app1.streams() == []


async def test_a_link_that_is_down_is_status_4(network: Network) -> None:
    network.alice.keysync.state = "down"
    assert (await network.app1.open()).status == 4


async def test_a_link_that_goes_down_meanwhile_is_status_4_and_a_deaf_neighbour_6(network: Network) -> None:
    network.cut = True
    assert (await network.app1.open(timeout=1000)).status == 6
    opening = asyncio.create_task(network.app1.open(timeout=2000))
    await asyncio.sleep(1)
    network.alice.keysync.state = "down"
    opened = await opening
    assert (opened.status, opened.ksid) == (4, b"")
    assert "the link to Bob is down" in opened.reason


async def test_an_impossible_wish_is_status_7_and_no_stream(network: Network) -> None:
    opened = await network.app1.open(key_chunk_size=70_000)
    assert (opened.status, opened.ksid, opened.qos.key_chunk_size) == (7, b"", 65_536)
    assert await network.app1.streams() == []
    again = await network.app1.call(
        "open_connect", km.OpenConnect(source="app1@Alice", destination="app2@Bob", qos=opened.qos)
    )
    assert again.status == 1


async def test_what_only_the_other_end_cannot_do_is_status_7_too(idle: Network, new_ksid: bytes) -> None:
    idle.bob.buffers = idle.bob.buffers.model_copy(update={"max_chunk_bytes": 1000})
    await idle.start()
    opened = await idle.app1.open(new_ksid, key_chunk_size=5000)
    assert (opened.status, opened.qos.key_chunk_size) == (7, 1000)
    assert "offers" in opened.reason
    again = asyncio.create_task(idle.app1.open(new_ksid, key_chunk_size=1000, timeout=200))
    assert (await again).status == 1, "the same KSID is free"


async def test_an_unknown_mimetype_is_status_7_with_json(network: Network) -> None:
    opened = await network.app1.open(metadata_mimetype="text/plain")
    assert (opened.status, opened.qos.metadata_mimetype) == (7, "application/json")


async def test_a_ksid_of_other_applications_is_status_5(network: Network) -> None:
    opened = await network.app1.open()
    other = network.bob.app("*")
    assert (await other.open(opened.ksid, destination="app3@Bob")).status == 5


async def test_a_ksid_of_other_applications_is_status_5_at_the_other_end_too(network: Network, new_ksid: bytes) -> None:
    network.cut = True  # so that Bob does not know
    await network.app1.open(new_ksid, timeout=100)
    network.cut = False
    other = network.bob.app("*")
    assert (await other.open(new_ksid, destination="app3@Bob")).status == 5


async def test_an_end_that_is_attached_is_status_5(network: Network) -> None:
    ksid = await network.connect()
    assert (await network.app1.open(ksid)).status == 5
    assert (await network.app2.open(ksid)).status == 5


async def test_a_ksid_just_closed_is_status_5_until_its_grace_is_over(network: Network) -> None:
    ksid = await network.connect()
    await network.app1.close(ksid)
    await network.app2.close(ksid)
    await asyncio.sleep(1)
    assert (await network.app1.open(ksid, timeout=100)).status == 5
    await asyncio.sleep(35)
    assert (await network.app1.open(ksid, timeout=100)).status == 1
    assert (await network.app2.open(ksid)).status == 0


@pytest.mark.parametrize(
    ("source", "destination", "ksid"),
    [
        ("app1", "app2@Bob", b""),
        ("app1@Alice", "", b""),
        ("app1@Alice", "app2@Bob", b"short"),
        ("app2@Bob", "app3@Charlie", b""),
    ],
)
async def test_what_is_malformed_is_refused(network: Network, source: str, destination: str, ksid: bytes) -> None:
    with pytest.raises(Refused):
        await network.alice.app("*").open(ksid, source=source, destination=destination)


async def test_only_the_named_application_may_open(network: Network) -> None:
    with pytest.raises(Unauthorised):
        await network.alice.app("app9").open()
    with pytest.raises(Unauthorised):
        await network.alice.app("app2").open()  # named, but at the other node
    for user in ("app1", "*", OPERATOR):
        assert (await network.alice.app(user).open()).status == 1


async def test_a_repeated_open_is_one_stream_even_after_a_crash(network: Network) -> None:
    first = await network.app1.open(number=7)
    await network.alice.restart()
    again = await network.app1.open(number=7)
    assert again.ksid == first.ksid
    assert len(await network.app1.streams()) == 1


async def test_a_neighbour_may_announce_only_its_own_streams(network: Network, new_ksid: bytes) -> None:
    assert network.alice.manager is not None
    door = network.alice.manager.next_door
    announce = km.Announce(ksid=new_ksid, source="x@Charlie", destination="app1@Alice", attached=True, oid=b"o" * 16)
    with pytest.raises(Unauthorised):
        door.announce(announce, Call("Bob"))
    with pytest.raises(Unauthorised):
        door.announce(announce, Call("Charlie"))  # no neighbour
    announce.source, announce.oid = "x@Bob", b"short"
    with pytest.raises(Refused):
        door.announce(announce, Call("Bob"))


async def test_what_a_neighbour_announced_is_known_and_forgotten_again(network: Network) -> None:
    opened = await network.app1.open()
    operator = network.bob.app(OPERATOR)
    assert [s.state for s in await operator.streams()] == ["known"]
    await network.app1.close(opened.ksid)
    await asyncio.sleep(1)
    assert await operator.streams() == []


async def test_announcements_stop_once_they_are_answered(network: Network) -> None:
    await network.connect()
    network.told.clear()
    await asyncio.sleep(60)
    assert network.told == []


async def test_an_announcement_is_repeated_until_it_is_answered(network: Network, new_ksid: bytes) -> None:
    network.answers_lost = True
    await network.app1.open(new_ksid, timeout=100)
    await asyncio.sleep(20)
    network.answers_lost = False
    assert len(network.told) >= 3
    await asyncio.sleep(10)
    network.told.clear()
    await asyncio.sleep(20)
    assert network.told == []
