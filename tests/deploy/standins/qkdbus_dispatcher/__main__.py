from qkdbus.runtime import main

from .build import build

main("dispatcher", build)
