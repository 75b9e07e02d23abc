"""A keysync that keeps nothing: after each start its store is empty."""

from __future__ import annotations

import sys
from pathlib import Path

from qkdbus.runtime import main
from qkdbus_keysync.build import build

if __name__ == "__main__":
    for file in (Path(sys.argv[1]) / "state").glob("keysync*"):
        file.unlink()
    main("keysync", build)
