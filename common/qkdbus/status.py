"""Status codes of ETSI GS QKD 004 V2.1.1 (clause 6.3), and 9, which is an extension."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What a call came to. A code that this library does not know is kept as `UNKNOWN_<n>`."""

    SUCCESSFUL = 0
    SUCCESSFUL_NO_PEER = 1
    GET_KEY_FAILED_INSUFFICIENT_KEY = 2
    GET_KEY_FAILED_PEER_NOT_CONNECTED = 3
    NO_QKD_CONNECTION = 4
    OPEN_CONNECT_FAILED_KSID_IN_USE = 5
    TIMEOUT_ERROR = 6
    OPEN_FAILED_QOS = 7
    GET_KEY_FAILED_METADATA_INSUFFICIENT = 8
    STREAM_NOT_FOUND = 9

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        if not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_, unknown._value_ = f"UNKNOWN_{value}", value
        return unknown


def unknown_stream(strict: bool) -> Status:
    """Return the status for a KSID nobody knows: 9 is no standard code, so `strict_status` maps it to 3."""
    return Status.GET_KEY_FAILED_PEER_NOT_CONNECTED if strict else Status.STREAM_NOT_FOUND
