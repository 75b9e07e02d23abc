"""A dispatcher that says a dead worker is ready, and gives it jobs."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus_dispatcher import build
from qkdbus_dispatcher.workers import Worker


class Immortal(Worker):
    """Once seen, it is there for ever."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, "ready" if name == "state" and value == "silent" else value)


if __name__ == "__main__":
    build.Worker = Immortal  # type: ignore[attr-defined]
    main("dispatcher", build.build)
