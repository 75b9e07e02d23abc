"""Status codes of ETSI GS QKD 004 (clause 6.3), and 9, which is ours."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What a call of ETSI GS QKD 004 came to."""

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


def unknown_stream(strict: bool) -> Status:
    """Return the status for a KSID nobody knows: 9 is no standard code, so `strict_status` maps it to 3."""
    return Status.GET_KEY_FAILED_PEER_NOT_CONNECTED if strict else Status.STREAM_NOT_FOUND
