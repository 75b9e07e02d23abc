from qkdbus.runtime import main

from .build import build

main("emulator", build)
