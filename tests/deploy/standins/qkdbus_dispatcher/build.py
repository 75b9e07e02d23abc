from qkdbus_standin import build_dispatcher as build

__all__ = ["build"]
