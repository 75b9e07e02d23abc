"""ZeroMQ as we use it: frames, server, callers, events, keys. Knows no layer."""
