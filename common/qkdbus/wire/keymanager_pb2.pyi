from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QoS(_message.Message):
    __slots__ = ("key_chunk_size", "max_bps", "min_bps", "jitter", "priority", "timeout", "ttl", "metadata_mimetype")
    KEY_CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_BPS_FIELD_NUMBER: _ClassVar[int]
    MIN_BPS_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    METADATA_MIMETYPE_FIELD_NUMBER: _ClassVar[int]
    key_chunk_size: int
    max_bps: int
    min_bps: int
    jitter: int
    priority: int
    timeout: int
    ttl: int
    metadata_mimetype: str
    def __init__(self, key_chunk_size: _Optional[int] = ..., max_bps: _Optional[int] = ..., min_bps: _Optional[int] = ..., jitter: _Optional[int] = ..., priority: _Optional[int] = ..., timeout: _Optional[int] = ..., ttl: _Optional[int] = ..., metadata_mimetype: _Optional[str] = ...) -> None: ...

class OpenConnect(_message.Message):
    __slots__ = ("source", "destination", "qos", "ksid")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    QOS_FIELD_NUMBER: _ClassVar[int]
    KSID_FIELD_NUMBER: _ClassVar[int]
    source: str
    destination: str
    qos: QoS
    ksid: bytes
    def __init__(self, source: _Optional[str] = ..., destination: _Optional[str] = ..., qos: _Optional[_Union[QoS, _Mapping]] = ..., ksid: _Optional[bytes] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("status", "ksid", "qos", "reason")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    KSID_FIELD_NUMBER: _ClassVar[int]
    QOS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status: int
    ksid: bytes
    qos: QoS
    reason: str
    def __init__(self, status: _Optional[int] = ..., ksid: _Optional[bytes] = ..., qos: _Optional[_Union[QoS, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class GetKey(_message.Message):
    __slots__ = ("ksid", "index", "metadata_size")
    KSID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    METADATA_SIZE_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    index: int
    metadata_size: int
    def __init__(self, ksid: _Optional[bytes] = ..., index: _Optional[int] = ..., metadata_size: _Optional[int] = ...) -> None: ...

class Key(_message.Message):
    __slots__ = ("status", "index", "key", "metadata", "metadata_size", "reason")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    METADATA_SIZE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status: int
    index: int
    key: bytes
    metadata: bytes
    metadata_size: int
    reason: str
    def __init__(self, status: _Optional[int] = ..., index: _Optional[int] = ..., key: _Optional[bytes] = ..., metadata: _Optional[bytes] = ..., metadata_size: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class GetKeys(_message.Message):
    __slots__ = ("ksid", "count")
    KSID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    count: int
    def __init__(self, ksid: _Optional[bytes] = ..., count: _Optional[int] = ...) -> None: ...

class Keys(_message.Message):
    __slots__ = ("status", "index", "count", "keys", "reason")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status: int
    index: int
    count: int
    keys: bytes
    reason: str
    def __init__(self, status: _Optional[int] = ..., index: _Optional[int] = ..., count: _Optional[int] = ..., keys: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class Close(_message.Message):
    __slots__ = ("ksid",)
    KSID_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    def __init__(self, ksid: _Optional[bytes] = ...) -> None: ...

class Closed(_message.Message):
    __slots__ = ("status", "reason")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    status: int
    reason: str
    def __init__(self, status: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ListStreams(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamInfo(_message.Message):
    __slots__ = ("ksid", "source", "destination", "peer", "state", "qos", "delivered", "expired", "buffered", "next_index")
    KSID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    QOS_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_FIELD_NUMBER: _ClassVar[int]
    NEXT_INDEX_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    source: str
    destination: str
    peer: str
    state: str
    qos: QoS
    delivered: int
    expired: int
    buffered: int
    next_index: int
    def __init__(self, ksid: _Optional[bytes] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., peer: _Optional[str] = ..., state: _Optional[str] = ..., qos: _Optional[_Union[QoS, _Mapping]] = ..., delivered: _Optional[int] = ..., expired: _Optional[int] = ..., buffered: _Optional[int] = ..., next_index: _Optional[int] = ...) -> None: ...

class Streams(_message.Message):
    __slots__ = ("streams",)
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamInfo]
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamInfo, _Mapping]]] = ...) -> None: ...

class Announce(_message.Message):
    __slots__ = ("ksid", "source", "destination", "qos", "attached", "oid")
    KSID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    QOS_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    OID_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    source: str
    destination: str
    qos: QoS
    attached: bool
    oid: bytes
    def __init__(self, ksid: _Optional[bytes] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., qos: _Optional[_Union[QoS, _Mapping]] = ..., attached: bool = ..., oid: _Optional[bytes] = ...) -> None: ...

class Announced(_message.Message):
    __slots__ = ("status", "attached", "qos", "oid")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    QOS_FIELD_NUMBER: _ClassVar[int]
    OID_FIELD_NUMBER: _ClassVar[int]
    status: int
    attached: bool
    qos: QoS
    oid: bytes
    def __init__(self, status: _Optional[int] = ..., attached: bool = ..., qos: _Optional[_Union[QoS, _Mapping]] = ..., oid: _Optional[bytes] = ...) -> None: ...

class Detach(_message.Message):
    __slots__ = ("ksid", "oid")
    KSID_FIELD_NUMBER: _ClassVar[int]
    OID_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    oid: bytes
    def __init__(self, ksid: _Optional[bytes] = ..., oid: _Optional[bytes] = ...) -> None: ...
