from qkdbus.wire import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAITING: _ClassVar[StreamState]
    OPEN: _ClassVar[StreamState]
    DRAINING: _ClassVar[StreamState]
    GONE: _ClassVar[StreamState]
WAITING: StreamState
OPEN: StreamState
DRAINING: StreamState
GONE: StreamState

class Epoch(_message.Message):
    __slots__ = ("n", "r")
    N_FIELD_NUMBER: _ClassVar[int]
    R_FIELD_NUMBER: _ClassVar[int]
    n: int
    r: int
    def __init__(self, n: _Optional[int] = ..., r: _Optional[int] = ...) -> None: ...

class Sid(_message.Message):
    __slots__ = ("epoch", "seq")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    epoch: Epoch
    seq: int
    def __init__(self, epoch: _Optional[_Union[Epoch, _Mapping]] = ..., seq: _Optional[int] = ...) -> None: ...

class OpenStream(_message.Message):
    __slots__ = ("ksid", "oid", "peer", "chunk_size", "ttl", "priority", "min_bps")
    KSID_FIELD_NUMBER: _ClassVar[int]
    OID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MIN_BPS_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    oid: bytes
    peer: str
    chunk_size: int
    ttl: int
    priority: int
    min_bps: int
    def __init__(self, ksid: _Optional[bytes] = ..., oid: _Optional[bytes] = ..., peer: _Optional[str] = ..., chunk_size: _Optional[int] = ..., ttl: _Optional[int] = ..., priority: _Optional[int] = ..., min_bps: _Optional[int] = ...) -> None: ...

class StreamOpened(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Take(_message.Message):
    __slots__ = ("oid", "low", "done", "max_bytes", "after")
    OID_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    oid: bytes
    low: int
    done: _containers.RepeatedScalarFieldContainer[int]
    max_bytes: int
    after: int
    def __init__(self, oid: _Optional[bytes] = ..., low: _Optional[int] = ..., done: _Optional[_Iterable[int]] = ..., max_bytes: _Optional[int] = ..., after: _Optional[int] = ...) -> None: ...

class ChunkRun(_message.Message):
    __slots__ = ("first", "count", "bits", "available_at", "record")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_AT_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    first: int
    count: int
    bits: bytes
    available_at: float
    record: _record_pb2.BlockRecord
    def __init__(self, first: _Optional[int] = ..., count: _Optional[int] = ..., bits: _Optional[bytes] = ..., available_at: _Optional[float] = ..., record: _Optional[_Union[_record_pb2.BlockRecord, _Mapping]] = ...) -> None: ...

class Taken(_message.Message):
    __slots__ = ("sid", "state", "floor", "next_index", "runs")
    SID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    NEXT_INDEX_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    sid: Sid
    state: StreamState
    floor: int
    next_index: int
    runs: _containers.RepeatedCompositeFieldContainer[ChunkRun]
    def __init__(self, sid: _Optional[_Union[Sid, _Mapping]] = ..., state: _Optional[_Union[StreamState, str]] = ..., floor: _Optional[int] = ..., next_index: _Optional[int] = ..., runs: _Optional[_Iterable[_Union[ChunkRun, _Mapping]]] = ...) -> None: ...

class CloseStream(_message.Message):
    __slots__ = ("oid",)
    OID_FIELD_NUMBER: _ClassVar[int]
    oid: bytes
    def __init__(self, oid: _Optional[bytes] = ...) -> None: ...

class StreamClosed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListOpens(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Opens(_message.Message):
    __slots__ = ("oids",)
    OIDS_FIELD_NUMBER: _ClassVar[int]
    oids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, oids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LinkStatusAsked(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LinkStatus(_message.Message):
    __slots__ = ("peer", "state", "arbiter", "epoch", "protocol", "emulator", "reservoir_bits", "buffered_keys", "key_rate", "qber", "alarm", "blocks", "created", "sifted_out", "disclosed", "kept", "failed", "last")
    PEER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ARBITER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    EMULATOR_FIELD_NUMBER: _ClassVar[int]
    RESERVOIR_BITS_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_KEYS_FIELD_NUMBER: _ClassVar[int]
    KEY_RATE_FIELD_NUMBER: _ClassVar[int]
    QBER_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    SIFTED_OUT_FIELD_NUMBER: _ClassVar[int]
    DISCLOSED_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    peer: str
    state: str
    arbiter: bool
    epoch: Epoch
    protocol: str
    emulator: str
    reservoir_bits: int
    buffered_keys: int
    key_rate: float
    qber: float
    alarm: str
    blocks: int
    created: int
    sifted_out: int
    disclosed: int
    kept: int
    failed: int
    last: _record_pb2.BlockRecord
    def __init__(self, peer: _Optional[str] = ..., state: _Optional[str] = ..., arbiter: bool = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., protocol: _Optional[str] = ..., emulator: _Optional[str] = ..., reservoir_bits: _Optional[int] = ..., buffered_keys: _Optional[int] = ..., key_rate: _Optional[float] = ..., qber: _Optional[float] = ..., alarm: _Optional[str] = ..., blocks: _Optional[int] = ..., created: _Optional[int] = ..., sifted_out: _Optional[int] = ..., disclosed: _Optional[int] = ..., kept: _Optional[int] = ..., failed: _Optional[int] = ..., last: _Optional[_Union[_record_pb2.BlockRecord, _Mapping]] = ...) -> None: ...

class Links(_message.Message):
    __slots__ = ("links",)
    LINKS_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedCompositeFieldContainer[LinkStatus]
    def __init__(self, links: _Optional[_Iterable[_Union[LinkStatus, _Mapping]]] = ...) -> None: ...

class Piece(_message.Message):
    __slots__ = ("run", "offset", "length")
    RUN_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    offset: int
    length: int
    def __init__(self, run: _Optional[bytes] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class Cut(_message.Message):
    __slots__ = ("sid", "first", "count", "bytes")
    SID_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    sid: Sid
    first: int
    count: int
    bytes: int
    def __init__(self, sid: _Optional[_Union[Sid, _Mapping]] = ..., first: _Optional[int] = ..., count: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class OpenEntry(_message.Message):
    __slots__ = ("sid", "ksid", "oid_a", "oid_f", "chunk_size")
    SID_FIELD_NUMBER: _ClassVar[int]
    KSID_FIELD_NUMBER: _ClassVar[int]
    OID_A_FIELD_NUMBER: _ClassVar[int]
    OID_F_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    sid: Sid
    ksid: bytes
    oid_a: bytes
    oid_f: bytes
    chunk_size: int
    def __init__(self, sid: _Optional[_Union[Sid, _Mapping]] = ..., ksid: _Optional[bytes] = ..., oid_a: _Optional[bytes] = ..., oid_f: _Optional[bytes] = ..., chunk_size: _Optional[int] = ...) -> None: ...

class CloseEntry(_message.Message):
    __slots__ = ("sid", "follower")
    SID_FIELD_NUMBER: _ClassVar[int]
    FOLLOWER_FIELD_NUMBER: _ClassVar[int]
    sid: Sid
    follower: bool
    def __init__(self, sid: _Optional[_Union[Sid, _Mapping]] = ..., follower: bool = ...) -> None: ...

class AllocEntry(_message.Message):
    __slots__ = ("job", "run", "pieces", "cuts", "rest")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    job: int
    run: bytes
    pieces: _containers.RepeatedCompositeFieldContainer[Piece]
    cuts: _containers.RepeatedCompositeFieldContainer[Cut]
    rest: _containers.RepeatedCompositeFieldContainer[Piece]
    def __init__(self, job: _Optional[int] = ..., run: _Optional[bytes] = ..., pieces: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ..., cuts: _Optional[_Iterable[_Union[Cut, _Mapping]]] = ..., rest: _Optional[_Iterable[_Union[Piece, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("open", "close", "alloc")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    ALLOC_FIELD_NUMBER: _ClassVar[int]
    open: OpenEntry
    close: CloseEntry
    alloc: AllocEntry
    def __init__(self, open: _Optional[_Union[OpenEntry, _Mapping]] = ..., close: _Optional[_Union[CloseEntry, _Mapping]] = ..., alloc: _Optional[_Union[AllocEntry, _Mapping]] = ...) -> None: ...

class Begin(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("job", "bits", "protocol", "endpoint", "priority")
    JOB_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    job: int
    bits: int
    protocol: str
    endpoint: str
    priority: int
    def __init__(self, job: _Optional[int] = ..., bits: _Optional[int] = ..., protocol: _Optional[str] = ..., endpoint: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...

class Formed(_message.Message):
    __slots__ = ("job", "run", "length")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    job: int
    run: bytes
    length: int
    def __init__(self, job: _Optional[int] = ..., run: _Optional[bytes] = ..., length: _Optional[int] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("job", "reason", "alarm", "again")
    JOB_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    job: int
    reason: str
    alarm: str
    again: bool
    def __init__(self, job: _Optional[int] = ..., reason: _Optional[str] = ..., alarm: _Optional[str] = ..., again: bool = ...) -> None: ...

class Drop(_message.Message):
    __slots__ = ("job", "run", "alarm")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    job: int
    run: bytes
    alarm: str
    def __init__(self, job: _Optional[int] = ..., run: _Optional[bytes] = ..., alarm: _Optional[str] = ...) -> None: ...

class Commit(_message.Message):
    __slots__ = ("seq", "entry", "chain")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    seq: int
    entry: bytes
    chain: bytes
    def __init__(self, seq: _Optional[int] = ..., entry: _Optional[bytes] = ..., chain: _Optional[bytes] = ...) -> None: ...

class LowMark(_message.Message):
    __slots__ = ("sid", "low")
    SID_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    sid: Sid
    low: int
    def __init__(self, sid: _Optional[_Union[Sid, _Mapping]] = ..., low: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("applied", "chain", "lows", "jobs")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    LOWS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    applied: int
    chain: bytes
    lows: _containers.RepeatedCompositeFieldContainer[LowMark]
    jobs: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, applied: _Optional[int] = ..., chain: _Optional[bytes] = ..., lows: _Optional[_Iterable[_Union[LowMark, _Mapping]]] = ..., jobs: _Optional[_Iterable[int]] = ...) -> None: ...

class Beat(_message.Message):
    __slots__ = ("acked", "chain")
    ACKED_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    acked: int
    chain: bytes
    def __init__(self, acked: _Optional[int] = ..., chain: _Optional[bytes] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("ksid", "oid", "chunk_size")
    KSID_FIELD_NUMBER: _ClassVar[int]
    OID_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    ksid: bytes
    oid: bytes
    chunk_size: int
    def __init__(self, ksid: _Optional[bytes] = ..., oid: _Optional[bytes] = ..., chunk_size: _Optional[int] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("sid",)
    SID_FIELD_NUMBER: _ClassVar[int]
    sid: Sid
    def __init__(self, sid: _Optional[_Union[Sid, _Mapping]] = ...) -> None: ...

class Reconcile(_message.Message):
    __slots__ = ("epoch", "fid", "begin", "prepare", "formed", "failed", "drop", "commit", "ack", "beat", "open_request", "close_request", "trace")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FID_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    FORMED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    OPEN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    CLOSE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    epoch: Epoch
    fid: int
    begin: Begin
    prepare: Prepare
    formed: Formed
    failed: Failed
    drop: Drop
    commit: Commit
    ack: Ack
    beat: Beat
    open_request: OpenRequest
    close_request: CloseRequest
    trace: bytes
    def __init__(self, epoch: _Optional[_Union[Epoch, _Mapping]] = ..., fid: _Optional[int] = ..., begin: _Optional[_Union[Begin, _Mapping]] = ..., prepare: _Optional[_Union[Prepare, _Mapping]] = ..., formed: _Optional[_Union[Formed, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., drop: _Optional[_Union[Drop, _Mapping]] = ..., commit: _Optional[_Union[Commit, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., beat: _Optional[_Union[Beat, _Mapping]] = ..., open_request: _Optional[_Union[OpenRequest, _Mapping]] = ..., close_request: _Optional[_Union[CloseRequest, _Mapping]] = ..., trace: _Optional[bytes] = ...) -> None: ...
