"""A qbackend that raises no alarm, however many errors there are."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus_qbackend import build
from qkdbus_qbackend.service import QBackend


class Deaf(QBackend):
    """Gives no alarm."""

    async def run(self, request: Any, call: Any) -> Any:
        answer = await super().run(request, call)
        answer.alarm = False
        return answer


if __name__ == "__main__":
    build.QBackend = Deaf  # type: ignore[attr-defined]
    main("qbackend", build.build)
