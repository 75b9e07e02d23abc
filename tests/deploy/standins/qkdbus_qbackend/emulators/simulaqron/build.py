from qkdbus_standin import build_emulator as build

__all__ = ["build"]
