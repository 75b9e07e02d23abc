"""A qbackend that gives the bits of its first exchange again and again, each time under a new run."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus.wire.dispatcher_pb2 import Exchanged
from qkdbus_qbackend import build
from qkdbus_qbackend.service import QBackend

FIRST: list[bytes] = []


class Repeats(QBackend):
    """Puts the bits of the first block in each."""

    async def run(self, request: Any, call: Any) -> Exchanged:
        answer = Exchanged()
        answer.CopyFrom(await super().run(request, call))
        if answer.HasField("block"):
            FIRST.append(answer.block.bits)
            size = min(len(FIRST[0]), len(answer.block.bits))
            answer.block.bits = FIRST[0][:size] + answer.block.bits[size:]
        return answer


if __name__ == "__main__":
    build.QBackend = Repeats  # type: ignore[attr-defined]
    main("qbackend", build.build)
