"""keysync: the two ends agree which bits are chunk (KSID, index); it owns key bits until they are delivered."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ..wire.keysync_pb2 import (
    CloseStream,
    Links,
    LinkStatusAsked,
    ListOpens,
    Opens,
    OpenStream,
    Reconcile,
    StreamClosed,
    StreamOpened,
    Take,
    Taken,
)
from .call import Call
from .contract import Contract, Method

CONTRACT = Contract(
    "keysync",
    {
        "open_stream": Method(OpenStream, StreamOpened, remember=False, event=True),
        "take": Method(Take, Taken, remember=False),
        "close_stream": Method(CloseStream, StreamClosed, remember=False, event=True),
        "list_opens": Method(ListOpens, Opens, remember=False),
        "link_status": Method(LinkStatusAsked, Links, remember=False),
    },
)
PEER = Contract("keysync.peer", {"reconcile": Method(Reconcile, None)})  # a notice: nobody waits for an answer

# Events that keysync publishes on <run>/keysync.events
AVAILABLE = "available"  # fields: oid (hex): chunks of this stream are there to take
ALARM = "alarm"  # fields: peer, reason (QBER, S, darkness, authentication); qber, s, s_error where measured here
CLEAR = "clear"  # fields: peer: an exchange succeeded after an alarm
STARTED = "job_started"  # fields: peer, job, bits, trace: this end's exchange begins
FORMED = "block_formed"  # fields: peer, job, bits, block_id, trace: this end has stored its block
AGREED = "block_agreed"  # fields: peer, job, block_id, trace: both ends hold it, and its bits are shared out
PAIRED = "stream_paired"  # fields: peer, oid, trace: the stream is open at both ends


class KeySync(Protocol):
    """Asked by the key manager of the same node."""

    def open_stream(self, request: OpenStream, call: Call) -> StreamOpened | Awaitable[StreamOpened]: ...
    def take(self, request: Take, call: Call) -> Taken | Awaitable[Taken]: ...
    def close_stream(self, request: CloseStream, call: Call) -> StreamClosed | Awaitable[StreamClosed]: ...
    def list_opens(self, request: ListOpens, call: Call) -> Opens | Awaitable[Opens]: ...
    def link_status(self, request: LinkStatusAsked, call: Call) -> Links | Awaitable[Links]: ...


class KeySyncPeer(Protocol):
    """Told by the keysync of a neighbour (`call.user` is its name)."""

    def reconcile(self, request: Reconcile, call: Call) -> None: ...
