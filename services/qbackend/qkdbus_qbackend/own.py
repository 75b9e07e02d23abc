"""Links whose blocks are formed in a way of their own: by equipment, or by whatever a researcher puts there.

The worker does the rest as for any exchange: it joins repeats, keeps the channel between the ends, watches that
something moves, and tells either end when the other has given up.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable

from qkdbus.errors import QkdbusError
from qkdbus.wire.dispatcher_pb2 import Exchanged, KeyBlock

from .channel import Channel
from .failure import Broken, NoKey
from .order import Order
from .watch import Watch

# Forms one block of about `order.bits` bits, the same at both ends, under a name (`run`) that only they share. NoKey:
# there is none. What is said on the channel is not authenticated but for its CURVE: no key bits may go there.
Form = Callable[[Channel, Order], Awaitable[KeyBlock]]


async def carry_out(form: Form, channel: Channel, order: Order, watch: Watch) -> Exchanged:
    """Return what comes of one exchange; the other end hears of a failure."""
    try:
        return Exchanged(block=await watch.guard(_formed(form, channel, order)))
    except (QkdbusError, struct.error) as error:
        failure = Broken("the other end says what cannot be read") if isinstance(error, struct.error) else error
        failure = failure if isinstance(failure, NoKey) else NoKey(str(failure))
        channel.take_leave(failure)
        return Exchanged(failure=failure.reason, alarm=failure.alarm)


async def _formed(form: Form, channel: Channel, order: Order) -> KeyBlock:
    return await form(channel, order)
