from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class BlockRecord(_message.Message):
    __slots__ = ("block_id", "protocol", "emulator", "created", "sifted_out", "disclosed", "kept", "verification_bits", "length", "qber", "duration", "finished_at")
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
    def __init__(self, block_id: _Optional[bytes] = ..., protocol: _Optional[str] = ..., emulator: _Optional[str] = ..., created: _Optional[int] = ..., sifted_out: _Optional[int] = ..., disclosed: _Optional[int] = ..., kept: _Optional[int] = ..., verification_bits: _Optional[int] = ..., length: _Optional[int] = ..., qber: _Optional[float] = ..., duration: _Optional[float] = ..., finished_at: _Optional[float] = ...) -> None: ...
