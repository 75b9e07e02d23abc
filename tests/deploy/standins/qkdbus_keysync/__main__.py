from qkdbus.runtime import main

from .build import build

main("keysync", build)
