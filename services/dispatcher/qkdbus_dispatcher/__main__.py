"""`python -m qkdbus_dispatcher NODE_DIR`."""

from qkdbus.runtime import main

from .build import build

if __name__ == "__main__":
    main("dispatcher", build)
