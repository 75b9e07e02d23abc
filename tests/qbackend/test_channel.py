"""The channel between two workers: numbers, pieces, attempts, strangers, parcels that come too early or too late."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from qkdbus.errors import Unavailable
from qkdbus.network.model import LinkSettings
from qkdbus.runtime.settings import Neighbour, Ports
from qkdbus.wire.qbackend_pb2 import CLASSICAL, QUANTUM, Parcel
from qkdbus_qbackend import exchange as exchange_module
from qkdbus_qbackend.channel import PIECE, UNHEARD, Channel, Job, Topic
from qkdbus_qbackend.distilling import Means
from qkdbus_qbackend.emulators.port import PAULI
from qkdbus_qbackend.exchange import Exchange
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.order import Order
from qkdbus_qbackend.protocols import PROTOCOLS

LINK = LinkSettings(emulator="ideal", protocol="bbm92")
PORTS = Ports(north=1, keymanager=2, keysync=3, qbackend=(9001, 9002))
ALICE = Neighbour(name="Alice", host="10.0.0.1", ports=PORTS, public_key="k" * 40, arbiter=False, link=LINK)
CAROL = ALICE.model_copy(update={"name": "Carol", "host": "10.0.0.3"})
JOB = Job("Alice", 1, 2, 3)


def pair_of_channels() -> tuple[Channel, Channel, list[Parcel]]:
    """Alice's channel, Bob's, and what Alice's sent and nobody has delivered yet."""
    sent: list[Parcel] = []
    alice = Channel(Job("Bob", 1, 2, 3), "Alice", os.urandom(16), sent.append)
    return alice, Channel(JOB, "Bob", os.urandom(16), lambda parcel: None), sent


async def test_messages_arrive_in_order_by_topic_and_lane() -> None:
    alice, bob, sent = pair_of_channels()
    alice.tell(Topic.BATCH, b"seven", 7)
    alice.tell(Topic.BATCH, b"eight", 8)
    alice.tell(Topic.DISTIL, b"")
    alice.tell(Topic.BATCH, b"seven again", 7)
    for parcel in sent:
        bob.take(parcel)
    assert await bob.hear(Topic.BATCH, 8) == b"eight"
    assert [await bob.hear(Topic.BATCH, 7), await bob.hear(Topic.BATCH, 7)] == [b"seven", b"seven again"]
    assert await bob.hear(Topic.DISTIL) == b""


async def test_a_long_message_travels_in_pieces() -> None:
    alice, bob, sent = pair_of_channels()
    long = os.urandom(3 * PIECE + 17)
    alice.tell(Topic.DISTIL, long)
    alice.signal(long[:PIECE])
    assert len(sent) == 5 and max(len(parcel.body) for parcel in sent) < PIECE + 64
    hearing = asyncio.create_task(bob.hear(Topic.DISTIL))
    for parcel in sent:
        bob.take(parcel)
    assert await hearing == long
    assert await bob.sense() == long[:PIECE]


async def test_the_planes_are_numbered_apart() -> None:
    alice, _, sent = pair_of_channels()
    alice.tell(Topic.HELLO, b"a")
    alice.signal(b"b")
    alice.signal(b"c")
    alice.tell(Topic.BATCH, b"d")
    assert [(p.plane, p.number) for p in sent] == [(CLASSICAL, 0), (QUANTUM, 0), (QUANTUM, 1), (CLASSICAL, 1)]


async def test_a_parcel_that_comes_twice_counts_once() -> None:
    alice, bob, sent = pair_of_channels()
    alice.tell(Topic.HELLO, b"hello")
    alice.repeat()
    alice.tell(Topic.BATCH, b"batch")
    for parcel in sent:
        bob.take(parcel)
        bob.take(parcel)
    assert await bob.hear(Topic.HELLO) == b"hello"
    assert await bob.hear(Topic.BATCH) == b"batch"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bob.hear(Topic.HELLO), 0.01)


async def test_a_missing_parcel_ends_the_channel() -> None:
    alice, bob, sent = pair_of_channels()
    waiting = asyncio.create_task(bob.hear(Topic.DISTIL))
    await asyncio.sleep(0)
    for body in (b"0", b"1", b"2"):
        alice.tell(Topic.DISTIL, body, 5)
    bob.take(sent[0])
    bob.take(sent[2])
    with pytest.raises(NoKey, match="lost"):
        await waiting
    with pytest.raises(NoKey, match="lost"):
        await bob.hear(Topic.HELLO)


async def test_what_was_heard_before_the_end_can_still_be_read() -> None:
    alice, bob, sent = pair_of_channels()
    alice.tell(Topic.DISTIL, b"the last word")
    alice.tell(Topic.BYE, b"qber")
    for parcel in sent:
        bob.take(parcel)
    assert await bob.hear(Topic.DISTIL) == b"the last word"
    with pytest.raises(NoKey, match="gave up: qber"):
        await bob.hear(Topic.DISTIL)


async def test_another_attempt_of_the_other_end_ends_this_one() -> None:
    alice, bob, sent = pair_of_channels()
    alice.tell(Topic.HELLO, b"hello")
    again = Channel(Job("Bob", 1, 2, 3), "Alice", os.urandom(16), sent.append)
    again.tell(Topic.HELLO, b"hello again")
    bob.take(sent[0])
    bob.take(sent[1])
    await bob.hear(Topic.HELLO)
    with pytest.raises(NoKey, match="begun again"):
        await bob.hear(Topic.HELLO)


@pytest.mark.parametrize("body", [b"", b"\x01", b"\x63\0" + bytes(8), b"\xff" * 9])
async def test_a_parcel_that_cannot_be_read_ends_the_channel_and_nothing_else(body: bytes) -> None:
    _, bob, _ = pair_of_channels()
    bob.take(Parcel(body=body, attempt=bytes(16)))
    with pytest.raises(NoKey, match="cannot be read"):
        await bob.hear(Topic.HELLO)


async def test_an_end_that_says_more_than_anybody_listens_to_is_cut_off() -> None:
    alice, bob, sent = pair_of_channels()
    for lane in range(UNHEARD + 1):
        alice.tell(Topic.BATCH, b"", lane)
    for parcel in sent:
        bob.take(parcel)
    with pytest.raises(NoKey):
        await bob.hear(Topic.HELLO)


async def test_a_message_that_comes_in_the_turn_of_a_repeat_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time-out and a message in one turn of the loop: the exchange used to wait for the message for ever."""
    monkeypatch.setattr(exchange_module, "REPEAT", 0.02)
    _, arbiter, _ = pair_of_channels()
    follower = Channel(Job("Bob", 1, 2, 3), "Alice", os.urandom(16), arbiter.take)

    class NoEmulator:
        name, bases = "ideal", PAULI

        def link_time(self) -> float:
            return 0.0

        def line(self, role: Any, peer: str, name: Any) -> Any:
            raise Unavailable("got so far")

    order = Order(True, 64, PROTOCOLS["bbm92"], LINK)
    follower.tell(Topic.HELLO, bytes(16) + b"bbm92 ideal")
    means: Any = Means(os.urandom, None, time.monotonic)  # type: ignore[arg-type]  # it does not get so far
    forming = asyncio.create_task(Exchange(order, arbiter, NoEmulator(), means, None).form())  # type: ignore[arg-type]
    for _ in range(3):
        await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    loop.call_later(0.0199 - 0.0005, follower.tell, Topic.READY, b"")
    time.sleep(0.05)  # both are due when the loop looks again
    with pytest.raises(Unavailable, match="got so far"):
        await asyncio.wait_for(forming, 30.0)


async def test_a_lost_parcel_costs_an_exchange_and_not_the_worker(workers: Any) -> None:
    both = workers(patience=1.0)
    dropped: list[Parcel] = []

    def drop_one(parcel: Any) -> Any:
        if parcel.number == 3 and not dropped:
            dropped.append(parcel)
            return None
        return parcel

    both.bob.wire.pass_on = drop_one
    answers = await both.exchange(2000, 1)
    assert dropped and all(answer.failure for answer in answers)
    ours, theirs = await both.exchange(2000, 2)
    assert ours.block.bits == theirs.block.bits != b""


async def test_the_first_words_are_said_again_until_there_is_a_connection(workers: Any) -> None:
    both = workers()
    both.alice.wire.up = both.bob.wire.up = False
    exchange = asyncio.create_task(both.exchange(64))
    await asyncio.sleep(0.1)
    both.bob.wire.up = True
    await asyncio.sleep(0.1)
    both.alice.wire.up = True
    ours, theirs = await exchange
    assert ours.block.bits == theirs.block.bits != b""
