"""A key manager that gives any application any stream's keys."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus_keymanager import build
from qkdbus_keymanager.getting import Getting


class OpenToAll(Getting):
    """Takes everybody for the stream's own application."""

    def get_key(self, request: Any, call: Any) -> Any:
        stream = self._streams.get(request.ksid)
        if stream is not None:
            call.user = stream.app
        return super().get_key(request, call)


if __name__ == "__main__":
    build.Getting = OpenToAll  # type: ignore[attr-defined]
    main("keymanager", build.build)
