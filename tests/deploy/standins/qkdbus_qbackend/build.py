from qkdbus_standin import build_qbackend as build

__all__ = ["build"]
