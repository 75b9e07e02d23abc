"""A key manager that does not write down what it has delivered."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus_keymanager import build
from qkdbus_keymanager.store import Store


class Forgetful(Store):
    """Keeps associations, not what became of their keys."""

    def save(self, changed: Any, moved: Any, callers: Any) -> None:
        super().save(changed, (), ())


if __name__ == "__main__":
    build.Store = Forgetful  # type: ignore[attr-defined]
    main("keymanager", build.build)
