"""A key manager that hands out the newest key first."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus.wire.keymanager_pb2 import GetKey
from qkdbus_keymanager import build
from qkdbus_keymanager.getting import Getting


class NewestFirst(Getting):
    """Delivers the last key of the buffer where none was named."""

    def _one(self, stream: Any, request: GetKey, caller: Any, number: int) -> Any:
        if not request.HasField("index"):
            held = [index for run in stream.buffer.runs for index in range(run.first, run.end)]
            fresh = [index for index in held if index not in stream.done]
            if fresh:
                request = GetKey(ksid=request.ksid, index=max(fresh), metadata_size=request.metadata_size)
        return super()._one(stream, request, caller, number)


if __name__ == "__main__":
    build.Getting = NewestFirst  # type: ignore[attr-defined]
    main("keymanager", build.build)
