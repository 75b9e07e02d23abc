"""What an application says and hears, as plain dataclasses. None of them shows a key."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from qkdbus.status import Status


@dataclass(frozen=True, slots=True)
class QoS:
    """Quality of service (ETSI GS QKD 004 table 3). What is None is left to the key manager.

    Attributes:
        key_chunk_size: bytes of every key of the stream.
        max_bps, min_bps, jitter: bit/s.
        priority: larger is more urgent.
        timeout: ms that a call on this stream waits at most.
        ttl: s that a key lives from when it is available; 0 for ever.
        metadata_mimetype: "application/json", or "" for no metadata at all.
    """

    key_chunk_size: int | None = None
    max_bps: int | None = None
    min_bps: int | None = None
    jitter: int | None = None
    priority: int | None = None
    timeout: int | None = None
    ttl: int | None = None
    metadata_mimetype: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What `open_connect` came to. `ksid` is None when there is no stream; `qos` is what holds, or the offer.

    `trace` names the call in the logs (`qkdbus logs --trace`), as that of the other results does.
    """

    status: Status
    ksid: uuid.UUID | None
    qos: QoS
    reason: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """What `get_key` came to.

    Attributes:
        key: the bits, bit 0 in the lowest bit of the first byte; empty unless the status is 0. SECRET: not shown.
        metadata: of this key: `age` (ms), `hops`, and if there was room what is known of its block: its `trace` is that
            of the exchange that formed it.
        metadata_size: with status 8, the size to ask with.
    """

    status: Status
    index: int
    key: bytes = field(repr=False)
    metadata: Mapping[str, object]
    metadata_size: int = 0
    reason: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """What `get_keys` came to: `count` keys in a row, the first has `index`. SECRET: not shown."""

    status: Status
    index: int
    count: int
    keys: tuple[bytes, ...] = field(repr=False)
    reason: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """What `close` came to."""

    status: Status
    reason: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream as its key manager sees it.

    Attributes:
        peer: the node at the other end.
        state: known, half, ready, draining, closing.
        delivered, expired, buffered: keys.
        next_index: keys formed so far at this end.
    """

    ksid: uuid.UUID
    source: str
    destination: str
    peer: str
    state: str
    qos: QoS
    delivered: int
    expired: int
    buffered: int
    next_index: int
