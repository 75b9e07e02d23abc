"""The key manager: ETSI GS QKD 004 V2.1.1 for applications, and what it tells its neighbours."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ..wire.head_pb2 import Nothing
from ..wire.keymanager_pb2 import (
    Announce,
    Announced,
    Close,
    Closed,
    Detach,
    GetKey,
    GetKeys,
    Key,
    Keys,
    ListStreams,
    OpenConnect,
    Opened,
    Streams,
)
from .call import Call
from .contract import Contract, Method

CONTRACT = Contract(
    "keymanager",
    {
        "open_connect": Method(OpenConnect, Opened, 30_000, event=True),
        # durable memory of its own (reference "agreement" 5.5)
        "get_key": Method(GetKey, Key, 30_000, remember=False),
        "get_keys": Method(GetKeys, Keys, 30_000, remember=False),
        "close": Method(Close, Closed, event=True),
        "list_streams": Method(ListStreams, Streams, remember=False),
    },
)
PEER = Contract(
    "keymanager.peer",
    {
        "announce": Method(Announce, Announced, 2_000, remember=False),
        "detach": Method(Detach, Nothing, 2_000, remember=False),
    },
)


class KeyManager(Protocol):
    """Asked by applications, and by the operator's `qkdbus status`."""

    def open_connect(self, request: OpenConnect, call: Call) -> Opened | Awaitable[Opened]: ...
    def get_key(self, request: GetKey, call: Call) -> Key | Awaitable[Key]: ...
    def get_keys(self, request: GetKeys, call: Call) -> Keys | Awaitable[Keys]: ...
    def close(self, request: Close, call: Call) -> Closed | Awaitable[Closed]: ...
    def list_streams(self, request: ListStreams, call: Call) -> Streams | Awaitable[Streams]: ...


class KeyManagerPeer(Protocol):
    """Asked by the key manager of a neighbour. All idempotent; told until answered."""

    def announce(self, request: Announce, call: Call) -> Announced | Awaitable[Announced]: ...
    def detach(self, request: Detach, call: Call) -> Nothing | Awaitable[Nothing]: ...
