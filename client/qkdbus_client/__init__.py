"""The client library: keys of a QKD network for an application (ETSI GS QKD 004 V2.1.1).

    with Client("Alice", network="three-sites") as alice:
        opened = alice.open_connect("app1@Alice", "app2@Bob", QoS(key_chunk_size=32, ttl=3600))
        got = alice.get_key(opened.ksid)
        alice.close(opened.ksid)

At run time it needs pyzmq and protobuf alone.
"""

from qkdbus.status import Status

from .aio import AsyncClient
from .client import Client
from .results import Closed, Key, Keys, Opened, QoS, StreamInfo

__all__ = ["AsyncClient", "Client", "Closed", "Key", "Keys", "Opened", "QoS", "Status", "StreamInfo"]
