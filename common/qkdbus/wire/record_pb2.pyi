from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class BlockRecord(_message.Message):
    __slots__ = ("block_id", "protocol", "emulator", "created", "sifted_out", "disclosed", "kept", "verification_bits", "length", "qber", "duration", "finished_at", "sent", "leaked", "corrected", "rounds", "authentication_bits", "security", "epsilon", "phase_error", "s", "s_error", "link_time", "speed", "stages", "trace")
    class StagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    BLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    EMULATOR_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    SIFTED_OUT_FIELD_NUMBER: _ClassVar[int]
    DISCLOSED_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_BITS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    QBER_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    LEAKED_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATION_BITS_FIELD_NUMBER: _ClassVar[int]
    SECURITY_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    PHASE_ERROR_FIELD_NUMBER: _ClassVar[int]
    S_FIELD_NUMBER: _ClassVar[int]
    S_ERROR_FIELD_NUMBER: _ClassVar[int]
    LINK_TIME_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    block_id: bytes
    protocol: str
    emulator: str
    created: int
    sifted_out: int
    disclosed: int
    kept: int
    verification_bits: int
    length: int
    qber: float
    duration: float
    finished_at: float
    sent: int
    leaked: int
    corrected: int
    rounds: int
    authentication_bits: int
    security: str
    epsilon: float
    phase_error: float
    s: float
    s_error: float
    link_time: float
    speed: float
    stages: _containers.ScalarMap[str, float]
    trace: bytes
    def __init__(self, block_id: _Optional[bytes] = ..., protocol: _Optional[str] = ..., emulator: _Optional[str] = ..., created: _Optional[int] = ..., sifted_out: _Optional[int] = ..., disclosed: _Optional[int] = ..., kept: _Optional[int] = ..., verification_bits: _Optional[int] = ..., length: _Optional[int] = ..., qber: _Optional[float] = ..., duration: _Optional[float] = ..., finished_at: _Optional[float] = ..., sent: _Optional[int] = ..., leaked: _Optional[int] = ..., corrected: _Optional[int] = ..., rounds: _Optional[int] = ..., authentication_bits: _Optional[int] = ..., security: _Optional[str] = ..., epsilon: _Optional[float] = ..., phase_error: _Optional[float] = ..., s: _Optional[float] = ..., s_error: _Optional[float] = ..., link_time: _Optional[float] = ..., speed: _Optional[float] = ..., stages: _Optional[_Mapping[str, float]] = ..., trace: _Optional[bytes] = ...) -> None: ...
