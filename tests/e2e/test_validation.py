"""Functional validation: what an application is promised (ETSI GS QKD 004), on a network that runs."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qkdbus_client import Client, Key, QoS, Status
from qkdbus_deploy.trial import Wish, try_streams

if TYPE_CHECKING:
    from .conftest import Ends, Net

FetchKey = Callable[..., Key]
Wait = Callable[..., float]


def test_four_streams_at_once_on_two_links_give_equal_keys_at_both_ends(sites: Net) -> None:
    wishes = [Wish(a, b, 6, 16) for a, b in (("Alice", "Bob"), ("Bob", "Charlie"), ("Bob", "Alice"))]
    wishes.append(Wish("Charlie", "Bob", 6, 5))
    results = try_streams(sites.home, sites.name, wishes)
    assert [result.trouble for result in results] == [""] * 4
    assert [result.equal for result in results] == [6] * 4
    for result in results:
        assert result.total("kept") >= 6 * 8 * result.wish.chunk
        for block in result.blocks.values():
            assert block["created"] == block["sifted_out"] + block["disclosed"] + block["kept"]


def test_streams_are_independent(fast: Net) -> None:
    first, second = fast.open("Alice", "Bob"), fast.open("Alice", "Bob")
    keys = [first.agree(2), second.agree(2)]
    assert len({key.key for few in keys for key in few}) == 4, "two streams gave the same key"
    first.close()
    assert second.agree(2)[0].index == 2, "a stream is disturbed by the end of another"
    second.close()


def test_the_other_end_may_open_first_with_an_agreed_id(sites: Net) -> None:
    ksid, names = uuid.uuid4(), sites.names("Alice", "Bob")
    statuses = {}

    def open_at(node: str) -> None:
        statuses[node] = sites.client(node).open_connect(*names, QoS(timeout=5000), ksid).status

    threads = [threading.Thread(target=open_at, args=(node,)) for node in ("Bob", "Alice")]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert statuses == {"Alice": Status.SUCCESSFUL, "Bob": Status.SUCCESSFUL}


def test_a_key_before_the_other_end_has_opened_is_status_3(sites: Net, key_of: FetchKey) -> None:
    names = sites.names("Alice", "Bob")
    alice = sites.client("Alice")
    opened = alice.open_connect(*names, QoS(key_chunk_size=8, timeout=300))
    assert opened.status == Status.SUCCESSFUL_NO_PEER
    assert opened.ksid is not None
    got = alice.get_key(opened.ksid)
    assert (got.status, got.key) == (Status.GET_KEY_FAILED_PEER_NOT_CONNECTED, b"")
    bob = sites.client("Bob")
    assert bob.open_connect(*names, ksid=opened.ksid).status == Status.SUCCESSFUL
    assert key_of(alice, opened.ksid).key == key_of(bob, opened.ksid).key


def test_an_unknown_stream_is_status_9(sites: Net) -> None:
    alice = sites.client("Alice")
    assert alice.get_key(uuid.uuid4()).status == Status.STREAM_NOT_FOUND
    assert alice.close(uuid.uuid4()).status == Status.STREAM_NOT_FOUND


def test_sites_that_are_no_neighbours_get_status_4_and_the_reason(sites: Net) -> None:
    opened = sites.client("Alice").open_connect(*sites.names("Alice", "Charlie"))
    assert (opened.status, opened.ksid) == (Status.NO_QKD_CONNECTION, None)
    assert "Charlie" in opened.reason
    assert "neighbour" in opened.reason


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (QoS(key_chunk_size=1 << 30), "key_chunk_size"),
        (QoS(min_bps=2000, max_bps=1000), "min_bps"),
        (QoS(metadata_mimetype="text/xml"), "metadata_mimetype"),
    ],
)
def test_a_quality_that_cannot_be_met_is_status_7_with_an_offer_and_no_stream(
    sites: Net, wish: QoS, field: str
) -> None:
    alice, names = sites.client("Alice"), sites.names("Alice", "Bob")
    opened = alice.open_connect(*names, wish)
    assert (opened.status, opened.ksid) == (Status.OPEN_FAILED_QOS, None)
    assert field.partition("_mime")[0] in opened.reason
    assert getattr(opened.qos, field) not in (None, getattr(wish, field))
    assert names[0] not in {info.source for node in ("Alice", "Bob") for info in sites.client(node).list_streams()}
    again = alice.open_connect(*names, opened.qos)
    assert again.status == Status.SUCCESSFUL_NO_PEER, "the offer itself was refused"
    assert again.ksid is not None
    alice.close(again.ksid)


class TestIndices:
    @pytest.fixture
    def ends(self, fast: Net) -> Ends:
        return fast.open("Alice", "Bob", QoS(key_chunk_size=32, timeout=400))

    def test_an_index_of_the_past_is_status_2(self, ends: Ends) -> None:
        ends.agree(3)
        assert ends.here.get_key(ends.ksid, 1).status == Status.GET_KEY_FAILED_INSUFFICIENT_KEY
        assert ends.agree(1)[0].index == 3

    def test_an_index_ahead_is_served_and_those_before_it_are_not_lost(self, ends: Ends) -> None:
        ends.agree(1)
        ahead = ends.here.get_key(ends.ksid, 5)
        assert (ahead.status, ahead.index) == (Status.SUCCESSFUL, 5)
        mine = [ends.here.get_key(ends.ksid) for _ in range(5)]
        other = [ends.there.get_key(ends.ksid) for _ in range(6)]
        assert [key.index for key in mine] == [1, 2, 3, 4, 6]
        assert [key.index for key in other] == [1, 2, 3, 4, 5, 6]
        assert {key.index: key.key for key in [*mine, ahead]} == {key.index: key.key for key in other}

    def test_an_index_too_far_ahead_waits_and_is_status_2(self, ends: Ends) -> None:
        ends.agree(1)
        began = time.monotonic()
        got = ends.here.get_key(ends.ksid, 10_000_000)
        assert (got.status, got.key) == (Status.GET_KEY_FAILED_INSUFFICIENT_KEY, b"")
        assert 0.35 < time.monotonic() - began < 20, "it waits for the stream's timeout, not for its keys"
        assert ends.agree(1)[0].index == 1


def test_metadata_that_does_not_fit_is_status_8_and_costs_no_key(sites: Net) -> None:
    ends = sites.open("Alice", "Bob")
    first = ends.agree(1)[0]
    tight = ends.here.get_key(ends.ksid, metadata_size=5)
    assert (tight.status, tight.key) == (Status.GET_KEY_FAILED_METADATA_INSUFFICIENT, b"")
    assert tight.metadata_size > 5
    got = ends.here.get_key(ends.ksid, metadata_size=tight.metadata_size)
    assert (got.status, got.index) == (Status.SUCCESSFUL, first.index + 1)
    assert {"age", "hops"} <= set(got.metadata)
    assert ends.there.get_key(ends.ksid).key == got.key
    rich = ends.here.get_key(ends.ksid, metadata_size=1024).metadata
    assert {"block_id", "created", "sifted_out", "disclosed", "kept", "qber", "exchange_duration"} <= set(rich)


@pytest.mark.parametrize("size", [1, 7, 32, 4096, 65_536])
def test_keys_of_many_sizes(fast: Net, size: int) -> None:
    ends = fast.open("Bob", "Alice", QoS(key_chunk_size=size, timeout=5000))
    keys = ends.agree(5)
    assert {len(key.key) for key in keys} == {size}
    ends.close()


def test_keys_expire_and_the_stream_goes_on(fast: Net) -> None:
    ends = fast.open("Alice", "Bob", QoS(key_chunk_size=1024, timeout=5000, ttl=1))
    first = ends.agree(2)[-1].index
    state = next(info for info in ends.here.list_streams() if info.ksid == ends.ksid)
    assert state.next_index > first + 1, "keys must be there that can expire"
    stale = state.next_index
    time.sleep(2.1)  # a second until they are old, one until both layers have looked
    assert ends.here.get_key(ends.ksid, first + 1).status == Status.GET_KEY_FAILED_INSUFFICIENT_KEY
    pairs = [(ends.here.get_key(ends.ksid), ends.there.get_key(ends.ksid)) for _ in range(40)]  # in step: keys expire
    mine, other = ({key.index: key.key for key in keys if not key.status} for keys in zip(*pairs, strict=True))
    common = mine.keys() & other.keys()
    assert common, "the stream did not go on"
    assert min(mine) >= stale, "an expired key was given"
    assert all(mine[index] == other[index] for index in common)
    assert all(_expired(client, ends) > 0 for client in (ends.here, ends.there))
    ends.close()


def _expired(client: Client, ends: Ends) -> int:
    return next(info.expired for info in client.list_streams() if info.ksid == ends.ksid)


def test_a_stream_can_be_opened_again(fast: Net, wait_until: Wait) -> None:
    names, alice, bob = fast.names("Alice", "Bob"), fast.client("Alice"), fast.client("Bob")
    qos = QoS(key_chunk_size=16, timeout=5000)
    ends = fast.open("Alice", "Bob", qos)
    old = {key.key for key in ends.agree(5)}
    ends.close()
    assert alice.get_key(ends.ksid).status == Status.STREAM_NOT_FOUND
    assert alice.close(ends.ksid).status == Status.SUCCESSFUL, "a second close is no mistake"
    assert alice.open_connect(*ends.names, qos, ends.ksid).status == Status.OPEN_CONNECT_FAILED_KSID_IN_USE
    fresh = fast.open("Alice", "Bob", qos)
    assert old.isdisjoint(key.key for key in fresh.agree(5))
    fresh.close()
    wait_until(lambda: alice.open_connect(*ends.names, QoS(timeout=0), ends.ksid).status in (0, 1), 60, 0.3)
    wait_until(lambda: bob.open_connect(*ends.names, QoS(timeout=2000), ends.ksid).status == 0, 60, 0.3)
    again = ends.agree(5)
    assert [key.index for key in again] == list(range(5))
    assert old.isdisjoint(key.key for key in again)
    assert alice.close(ends.ksid).status == bob.close(ends.ksid).status == Status.SUCCESSFUL
    assert names != ends.names


def test_what_is_left_is_served_after_the_other_end_has_closed(fast: Net) -> None:
    ends = fast.open("Alice", "Bob", QoS(key_chunk_size=65_536, timeout=1000))
    mine, other = ends.pair()
    assert mine.key == other.key
    formed = next(info.next_index for info in ends.there.list_streams() if info.ksid == ends.ksid)
    assert ends.here.close(ends.ksid).status == Status.SUCCESSFUL
    left = [ends.there.get_key(ends.ksid) for _ in range(formed + 3)]
    served = [key for key in left if key.status == Status.SUCCESSFUL]
    assert [key.index for key in served] == list(range(1, 1 + len(served)))
    assert len(served) >= formed - 1
    assert left[-1].status in (Status.GET_KEY_FAILED_INSUFFICIENT_KEY, Status.STREAM_NOT_FOUND)
