"""Between the plain values of this library and the messages of the bus.

An answer is not believed blindly: Refused when it says that there are keys and has none, or names no stream.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from qkdbus.contracts.keymanager import CONTRACT
from qkdbus.errors import Refused
from qkdbus.status import Status
from qkdbus.trace import name as name_of
from qkdbus.wire import keymanager_pb2 as wire

from .results import Closed, Key, Keys, Opened, QoS, StreamInfo

MARGIN = 5.0  # s beyond a stream's Timeout before we believe that nobody is there
Ksid = uuid.UUID | bytes | str
_FIELDS = tuple(QoS.__dataclass_fields__)


def read_ksid(ksid: Ksid) -> bytes:
    """Return the 16 octets of a KSID. ValueError when it is none."""
    if isinstance(ksid, uuid.UUID):
        return ksid.bytes
    if isinstance(ksid, str):
        return uuid.UUID(ksid).bytes
    if isinstance(ksid, bytes) and len(ksid) == 16:
        return ksid
    raise ValueError("a KSID is a UUID, its text, or its 16 bytes; there is none when a stream was not opened")


def open_request(source: str, destination: str, qos: QoS | None, ksid: Ksid | None) -> wire.OpenConnect:
    """Build the request of `open_connect`."""
    wish = {name: value for name in _FIELDS if (value := getattr(qos, name, None)) is not None}
    name = read_ksid(ksid) if ksid is not None else b""
    return wire.OpenConnect(source=source, destination=destination, qos=wire.QoS(**wish), ksid=name)


def get_request(ksid: Ksid, index: int | None, metadata_size: int) -> wire.GetKey:
    """Build the request of `get_key`."""
    return wire.GetKey(ksid=read_ksid(ksid), index=index, metadata_size=metadata_size)


def read_qos(message: wire.QoS) -> QoS:
    """Read a QoS; absent fields are None."""
    return QoS(**{name: getattr(message, name) if message.HasField(name) else None for name in _FIELDS})


def read_opened(message: wire.Opened, trace: bytes = b"") -> Opened:
    """Read the answer of `open_connect`."""
    status = Status(message.status)
    stream = status in (Status.SUCCESSFUL, Status.SUCCESSFUL_NO_PEER)
    ksid = _uuid(message.ksid) if stream else None
    return Opened(status, ksid, read_qos(message.qos), message.reason, name_of(trace))


def read_key(message: wire.Key, trace: bytes = b"") -> Key:
    """Read the answer of `get_key`."""
    metadata, status = _read_metadata(message.metadata), Status(message.status)
    if status == Status.SUCCESSFUL and not message.key:
        raise Refused("get_key: an answer that says there is a key, and has none")
    said = message.metadata_size, message.reason
    return Key(status, message.index, message.key, metadata, *said, name_of(trace))


def read_keys(message: wire.Keys, trace: bytes = b"") -> Keys:
    """Read the answer of `get_keys`."""
    bits, count, status = message.keys, message.count, Status(message.status)
    size, left = divmod(len(bits), count) if count else (0, len(bits))
    if left or (status == Status.SUCCESSFUL and not size):
        raise Refused(f"get_keys: an answer with {len(bits)} octets of {count} keys")
    keys = tuple([bits[at : at + size] for at in range(0, count * size, size)]) if size else ()
    return Keys(status, message.index, count if size else 0, keys, message.reason, name_of(trace))


def read_closed(message: wire.Closed, trace: bytes = b"") -> Closed:
    """Read the answer of `close`."""
    return Closed(Status(message.status), message.reason, name_of(trace))


def read_streams(message: wire.Streams) -> list[StreamInfo]:
    """Read the answer of `list_streams`."""
    return [
        StreamInfo(
            ksid=_uuid(info.ksid),
            source=info.source,
            destination=info.destination,
            peer=info.peer,
            state=info.state,
            qos=read_qos(info.qos),
            delivered=info.delivered,
            expired=info.expired,
            buffered=info.buffered,
            next_index=info.next_index,
        )
        for info in message.streams
    ]


def _uuid(octets: bytes) -> uuid.UUID:
    if len(octets) != 16:
        raise Refused(f"an answer whose KSID has {len(octets)} octets")
    return uuid.UUID(bytes=octets)


def _read_metadata(text: bytes) -> Mapping[str, object]:
    if not text:
        return {}
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


class Patience:
    """How long to wait for an answer: the stream's Timeout, which the key manager keeps, and a margin."""

    def __init__(self, patience: float | None) -> None:
        self._given = patience
        self._timeouts: dict[bytes, float] = {}

    def to_open(self, qos: QoS | None) -> float:
        """Return s to wait for `open_connect`."""
        if self._given is not None:
            return self._given
        if qos is None or qos.timeout is None:
            return self._usual("open_connect")
        return qos.timeout / 1e3 + MARGIN

    def for_stream(self, method: str, ksid: bytes) -> float:
        """Return s to wait for a key of this stream."""
        if self._given is not None:
            return self._given
        timeout = self._timeouts.get(ksid)
        return self._usual(method) if timeout is None else timeout + MARGIN

    def for_call(self, method: str) -> float:
        """Return s to wait for a call that does not wait for keys."""
        return self._given if self._given is not None else self._usual(method)

    def learn(self, opened: Opened) -> Opened:
        """Keep the Timeout of a stream that was opened."""
        if opened.ksid is not None and opened.qos.timeout is not None:
            self._timeouts[opened.ksid.bytes] = opened.qos.timeout / 1e3
        return opened

    def forget(self, ksid: bytes) -> None:
        """Forget a stream that is closed."""
        self._timeouts.pop(ksid, None)

    def _usual(self, method: str) -> float:
        return CONTRACT.methods[method].patience_ms / 1e3
