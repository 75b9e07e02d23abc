from qkdbus.wire import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobName(_message.Message):
    __slots__ = ("peer", "epoch_n", "epoch_r", "job")
    PEER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_N_FIELD_NUMBER: _ClassVar[int]
    EPOCH_R_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    peer: str
    epoch_n: int
    epoch_r: int
    job: int
    def __init__(self, peer: _Optional[str] = ..., epoch_n: _Optional[int] = ..., epoch_r: _Optional[int] = ..., job: _Optional[int] = ...) -> None: ...

class Reserve(_message.Message):
    __slots__ = ("name", "priority", "bits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    name: JobName
    priority: int
    bits: int
    def __init__(self, name: _Optional[_Union[JobName, _Mapping]] = ..., priority: _Optional[int] = ..., bits: _Optional[int] = ...) -> None: ...

class Reserved(_message.Message):
    __slots__ = ("worker", "endpoint")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    worker: int
    endpoint: str
    def __init__(self, worker: _Optional[int] = ..., endpoint: _Optional[str] = ...) -> None: ...

class Exchange(_message.Message):
    __slots__ = ("name", "arbiter", "bits", "protocol", "endpoint", "worker", "priority")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARBITER_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    name: JobName
    arbiter: bool
    bits: int
    protocol: str
    endpoint: str
    worker: int
    priority: int
    def __init__(self, name: _Optional[_Union[JobName, _Mapping]] = ..., arbiter: bool = ..., bits: _Optional[int] = ..., protocol: _Optional[str] = ..., endpoint: _Optional[str] = ..., worker: _Optional[int] = ..., priority: _Optional[int] = ...) -> None: ...

class KeyBlock(_message.Message):
    __slots__ = ("run", "bits", "length", "record")
    RUN_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    bits: bytes
    length: int
    record: _record_pb2.BlockRecord
    def __init__(self, run: _Optional[bytes] = ..., bits: _Optional[bytes] = ..., length: _Optional[int] = ..., record: _Optional[_Union[_record_pb2.BlockRecord, _Mapping]] = ...) -> None: ...

class Exchanged(_message.Message):
    __slots__ = ("block", "failure", "alarm", "record", "again")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    block: KeyBlock
    failure: str
    alarm: bool
    record: _record_pb2.BlockRecord
    again: bool
    def __init__(self, block: _Optional[_Union[KeyBlock, _Mapping]] = ..., failure: _Optional[str] = ..., alarm: bool = ..., record: _Optional[_Union[_record_pb2.BlockRecord, _Mapping]] = ..., again: bool = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: JobName
    def __init__(self, name: _Optional[_Union[JobName, _Mapping]] = ...) -> None: ...

class Cancelled(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkers(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WorkerInfo(_message.Message):
    __slots__ = ("worker", "state", "running", "done", "failed", "endpoint", "capacity", "reserved", "lost", "slow", "last_choice")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    SLOW_FIELD_NUMBER: _ClassVar[int]
    LAST_CHOICE_FIELD_NUMBER: _ClassVar[int]
    worker: int
    state: str
    running: int
    done: int
    failed: int
    endpoint: str
    capacity: int
    reserved: int
    lost: int
    slow: int
    last_choice: bool
    def __init__(self, worker: _Optional[int] = ..., state: _Optional[str] = ..., running: _Optional[int] = ..., done: _Optional[int] = ..., failed: _Optional[int] = ..., endpoint: _Optional[str] = ..., capacity: _Optional[int] = ..., reserved: _Optional[int] = ..., lost: _Optional[int] = ..., slow: _Optional[int] = ..., last_choice: bool = ...) -> None: ...

class LinkJobs(_message.Message):
    __slots__ = ("peer", "waiting", "running", "priority", "longest", "done", "lost", "seconds")
    PEER_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LONGEST_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    peer: str
    waiting: int
    running: int
    priority: int
    longest: float
    done: int
    lost: int
    seconds: float
    def __init__(self, peer: _Optional[str] = ..., waiting: _Optional[int] = ..., running: _Optional[int] = ..., priority: _Optional[int] = ..., longest: _Optional[float] = ..., done: _Optional[int] = ..., lost: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class Workers(_message.Message):
    __slots__ = ("workers", "links", "most_waiting")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    MOST_WAITING_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerInfo]
    links: _containers.RepeatedCompositeFieldContainer[LinkJobs]
    most_waiting: int
    def __init__(self, workers: _Optional[_Iterable[_Union[WorkerInfo, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[LinkJobs, _Mapping]]] = ..., most_waiting: _Optional[int] = ...) -> None: ...
