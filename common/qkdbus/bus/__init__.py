"""ZeroMQ as we use it: frames, server, callers, events, keys. Knows no layer.

Three frames make a call after the routing envelope and its empty delimiter: `qkdbus/1`, Head, body. Any REQ or
DEALER socket in any language can send them. One thread, one asyncio loop, one file per pattern.
"""
