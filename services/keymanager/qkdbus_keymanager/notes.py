"""What is told of a call that somebody follows: names, numbers and statuses, never a bit of key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from qkdbus.keys import ksid_text
from qkdbus.wire.keymanager_pb2 import Close, GetKey, GetKeys, Key, Keys, OpenConnect, Opened

from .stream import Stream


def notes(streams: Mapping[bytes, Stream], request: Message, answer: Message | None) -> dict[str, object]:
    """Return the fields that explain a call of an application."""
    said: dict[str, object] = {}
    ksid = getattr(answer, "ksid", b"") or getattr(request, "ksid", b"")
    if len(ksid) == 16:
        said["ksid"] = ksid_text(ksid)
    if isinstance(request, OpenConnect):
        said |= {"source": request.source[:200], "destination": request.destination[:200]}
    if isinstance(answer, Opened | Key | Keys) or (isinstance(request, Close) and answer is not None):
        said["status"] = getattr(answer, "status", 0)
    if isinstance(answer, Key | Keys) and not answer.status:
        said["index"] = answer.index
        if isinstance(answer, Keys):
            said["count"] = answer.count
        if isinstance(request, GetKey | GetKeys):
            said |= _origin(streams.get(request.ksid), answer.index)
    return said


def _origin(stream: Stream | None, index: int) -> dict[str, object]:
    """Say where a key came from: out of memory here, and of which exchange its bits are."""
    run = stream.buffer.find(index) if stream is not None else None
    if run is None:
        return {"from": "buffer"}
    block: dict[str, Any] = json.loads(b"{" + run.tail[1:])
    origin = {"block_id": block.get("block_id", ""), "formed_by": block.get("trace", "")}
    return {"from": "buffer", **{name: value for name, value in origin.items() if value}}
