"""`python -m qkdbus_qbackend NODE_DIR --replica N`."""

from qkdbus.runtime import main

from .build import build

if __name__ == "__main__":
    main("qbackend", build)
