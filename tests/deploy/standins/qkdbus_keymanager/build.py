from qkdbus_standin import build_keymanager as build

__all__ = ["build"]
