from qkdbus.runtime import main

from .build import build

main("qbackend", build)
