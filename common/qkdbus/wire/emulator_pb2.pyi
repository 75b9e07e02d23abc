from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CreatePairs(_message.Message):
    __slots__ = ("peer", "line", "count")
    PEER_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    peer: str
    line: str
    count: int
    def __init__(self, peer: _Optional[str] = ..., line: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class AwaitPairs(_message.Message):
    __slots__ = ("peer", "line")
    PEER_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    peer: str
    line: str
    def __init__(self, peer: _Optional[str] = ..., line: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("batch", "count")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    batch: int
    count: int
    def __init__(self, batch: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("line", "batch", "bases", "peer")
    LINE_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    BASES_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    line: str
    batch: int
    bases: bytes
    peer: str
    def __init__(self, line: _Optional[str] = ..., batch: _Optional[int] = ..., bases: _Optional[bytes] = ..., peer: _Optional[str] = ...) -> None: ...

class Outcomes(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: bytes
    def __init__(self, outcomes: _Optional[bytes] = ...) -> None: ...

class Discard(_message.Message):
    __slots__ = ("peer", "line")
    PEER_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    peer: str
    line: str
    def __init__(self, peer: _Optional[str] = ..., line: _Optional[str] = ...) -> None: ...

class Discarded(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Disturb(_message.Message):
    __slots__ = ("peer", "x", "y", "z")
    PEER_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    peer: str
    x: float
    y: float
    z: float
    def __init__(self, peer: _Optional[str] = ..., x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ...) -> None: ...

class Disturbed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Lines(_message.Message):
    __slots__ = ("peers_up", "registers", "engine")
    PEERS_UP_FIELD_NUMBER: _ClassVar[int]
    REGISTERS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    peers_up: _containers.RepeatedScalarFieldContainer[str]
    registers: int
    engine: str
    def __init__(self, peers_up: _Optional[_Iterable[str]] = ..., registers: _Optional[int] = ..., engine: _Optional[str] = ...) -> None: ...

class ListLines(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
