"""`python -m qkdbus_keysync NODE_DIR`."""

from qkdbus.runtime import main

from .build import build

if __name__ == "__main__":
    main("keysync", build)
