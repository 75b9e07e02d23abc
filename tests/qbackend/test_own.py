"""Links whose blocks are formed in a way of their own: what comes of it, and that the other end hears of a failure."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest

from qkdbus.errors import Unavailable
from qkdbus.network.model import LinkSettings
from qkdbus.wire.dispatcher_pb2 import Exchanged, KeyBlock
from qkdbus.wire.qbackend_pb2 import Parcel
from qkdbus_qbackend.channel import Channel, Job
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.order import Order
from qkdbus_qbackend.own import Form, carry_out
from qkdbus_qbackend.protocols import PROTOCOLS
from qkdbus_qbackend.watch import Watch

BLOCK = KeyBlock(run=bytes(16), bits=b"k" * 8, length=64)


class End:
    """One end of an exchange, and what it sent."""

    def __init__(self) -> None:
        self.sent: list[Parcel] = []
        self.watch = Watch(time.monotonic)
        self._channel = Channel(Job("Bob", 1, 2, 3), "Alice", b"a" * 16, self.sent.append)

    async def carry_out(self, form: Form) -> Exchanged:
        order = Order(True, 64, next(iter(PROTOCOLS.values())), LinkSettings())
        return await carry_out(form, self._channel, order, self.watch)


async def test_a_block_is_handed_up_as_it_was_formed() -> None:
    async def form(channel: Channel, order: Order) -> KeyBlock:
        assert (order.arbiter, order.bits) == (True, 64)
        return BLOCK

    end = End()
    assert await end.carry_out(form) == Exchanged(block=BLOCK)
    assert end.sent == []


@pytest.mark.parametrize(
    ("error", "reason", "alarm"),
    [
        (NoKey("out of key"), "out of key", False),
        (NoKey("somebody listens", alarm=True), "somebody listens", True),
        (Unavailable("the device is off"), "the device is off", False),
        (struct.error("unpack requires 24 octets"), "the other end says what cannot be read", False),
    ],
)
async def test_a_failure_is_an_answer_and_the_other_end_is_told(error: Exception, reason: str, alarm: bool) -> None:
    async def form(channel: Channel, order: Order) -> KeyBlock:
        raise error

    end = End()
    assert await end.carry_out(form) == Exchanged(failure=reason, alarm=alarm)
    [parcel] = end.sent
    assert reason.encode() in parcel.body


async def test_an_abort_ends_a_form_that_waits() -> None:
    begun = asyncio.Event()

    async def form(channel: Channel, order: Order) -> KeyBlock:
        begun.set()
        await asyncio.Event().wait()
        return BLOCK

    end = End()
    running = asyncio.create_task(end.carry_out(form))
    await begun.wait()
    end.watch.end(NoKey("aborted"))
    assert await running == Exchanged(failure="aborted")
    assert len(end.sent) == 1
