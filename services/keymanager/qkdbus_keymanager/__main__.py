"""Run the key manager of a node: `python -m qkdbus_keymanager NODE_DIR`."""

from qkdbus.runtime import main

from .build import build

if __name__ == "__main__":
    main("keymanager", build)
