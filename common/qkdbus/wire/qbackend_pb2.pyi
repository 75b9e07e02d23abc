from qkdbus.wire import dispatcher_pb2 as _dispatcher_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
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

class Attack(_message.Message):
    __slots__ = ("peer", "eve")
    PEER_FIELD_NUMBER: _ClassVar[int]
    EVE_FIELD_NUMBER: _ClassVar[int]
    peer: str
    eve: Eavesdropper
    def __init__(self, peer: _Optional[str] = ..., eve: _Optional[_Union[Eavesdropper, _Mapping]] = ...) -> None: ...

class Attacked(_message.Message):
    __slots__ = ("here", "eve")
    HERE_FIELD_NUMBER: _ClassVar[int]
    EVE_FIELD_NUMBER: _ClassVar[int]
    here: bool
    eve: Eavesdropper
    def __init__(self, here: bool = ..., eve: _Optional[_Union[Eavesdropper, _Mapping]] = ...) -> None: ...

class Eavesdropper(_message.Message):
    __slots__ = ("intercept_resend", "bases", "photon_number_splitting", "beam_splitting", "jam", "cut")
    INTERCEPT_RESEND_FIELD_NUMBER: _ClassVar[int]
    BASES_FIELD_NUMBER: _ClassVar[int]
    PHOTON_NUMBER_SPLITTING_FIELD_NUMBER: _ClassVar[int]
    BEAM_SPLITTING_FIELD_NUMBER: _ClassVar[int]
    JAM_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    intercept_resend: float
    bases: _containers.RepeatedScalarFieldContainer[float]
    photon_number_splitting: float
    beam_splitting: float
    jam: float
    cut: bool
    def __init__(self, intercept_resend: _Optional[float] = ..., bases: _Optional[_Iterable[float]] = ..., photon_number_splitting: _Optional[float] = ..., beam_splitting: _Optional[float] = ..., jam: _Optional[float] = ..., cut: bool = ...) -> None: ...

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
