from qkdbus_standin import build_keysync as build

__all__ = ["build"]
