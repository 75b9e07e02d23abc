from qkdbus.wire import dispatcher_pb2 as _dispatcher_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Plane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLASSICAL: _ClassVar[Plane]
    QUANTUM: _ClassVar[Plane]
CLASSICAL: Plane
QUANTUM: Plane

class Run(_message.Message):
    __slots__ = ("exchange", "since")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    exchange: _dispatcher_pb2.Exchange
    since: float
    def __init__(self, exchange: _Optional[_Union[_dispatcher_pb2.Exchange, _Mapping]] = ..., since: _Optional[float] = ...) -> None: ...

class Abort(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: _dispatcher_pb2.JobName
    def __init__(self, name: _Optional[_Union[_dispatcher_pb2.JobName, _Mapping]] = ...) -> None: ...

class Aborted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Parcel(_message.Message):
    __slots__ = ("node", "epoch_n", "epoch_r", "job", "plane", "number", "body", "attempt", "endpoint")
    NODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_N_FIELD_NUMBER: _ClassVar[int]
    EPOCH_R_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    PLANE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    node: str
    epoch_n: int
    epoch_r: int
    job: int
    plane: Plane
    number: int
    body: bytes
    attempt: bytes
    endpoint: str
    def __init__(self, node: _Optional[str] = ..., epoch_n: _Optional[int] = ..., epoch_r: _Optional[int] = ..., job: _Optional[int] = ..., plane: _Optional[_Union[Plane, str]] = ..., number: _Optional[int] = ..., body: _Optional[bytes] = ..., attempt: _Optional[bytes] = ..., endpoint: _Optional[str] = ...) -> None: ...
