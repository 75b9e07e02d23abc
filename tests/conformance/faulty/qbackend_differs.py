"""A qbackend whose two ends differ: the follower's block has another last bit."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus.wire.dispatcher_pb2 import Exchanged
from qkdbus_qbackend import build
from qkdbus_qbackend.service import QBackend


class Differs(QBackend):
    """Turns one bit over."""

    async def run(self, request: Any, call: Any) -> Exchanged:
        answer = Exchanged()
        answer.CopyFrom(await super().run(request, call))
        if not request.exchange.arbiter and answer.HasField("block"):
            last = answer.block.length - 1
            octets = bytearray(answer.block.bits)
            octets[last // 8] ^= 1 << last % 8
            answer.block.bits = bytes(octets)
        return answer


if __name__ == "__main__":
    build.QBackend = Differs  # type: ignore[attr-defined]
    main("qbackend", build.build)
