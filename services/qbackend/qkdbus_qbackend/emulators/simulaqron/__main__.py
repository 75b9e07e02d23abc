"""`python -m qkdbus_qbackend.emulators.simulaqron NODE_DIR`."""

from qkdbus.runtime import main

from .build import build

main("emulator", build)
