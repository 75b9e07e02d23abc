"""Two key streams of one link, one urgent, one with a promise: what does each get of it?

First:  qkdbus deploy network.yaml
Then:   python shares.py [SECONDS]
"""

import sys
import time
from uuid import UUID

from qkdbus_client import Client, QoS

WISHES = {"priority 5": QoS(priority=5, key_chunk_size=32), "min_bps 1000": QoS(min_bps=1000, key_chunk_size=32)}


def open_both(alice: Client, bob: Client) -> dict[str, UUID]:
    """Open both streams at both ends."""
    found = {}
    for number, (wish, qos) in enumerate(WISHES.items()):
        names = f"app{number}@Alice", f"app{number}@Bob"
        ksid = alice.open_connect(*names, qos).ksid
        assert ksid is not None
        bob.open_connect(*names, ksid=ksid)
        found[wish] = ksid
    return found


def rates(alice: Client, streams: dict[str, UUID], seconds: float) -> dict[str, float]:
    """Return the key bit/s that both ends agree upon for each stream, over so many seconds."""
    before, began = _agreed(alice), time.monotonic()
    time.sleep(seconds)
    after, took = _agreed(alice), time.monotonic() - began
    return {wish: 256 * (after[ksid] - before[ksid]) / took for wish, ksid in streams.items()}


def _agreed(alice: Client) -> dict[UUID, int]:
    return {info.ksid: info.next_index for info in alice.list_streams()}


if __name__ == "__main__":
    with Client("Alice", network="promises") as one, Client("Bob", network="promises") as other:
        opened = open_both(one, other)
        for name, rate in rates(one, opened, float(sys.argv[1]) if len(sys.argv) > 1 else 10.0).items():
            print(f"{name:14s}{rate:10.0f} bit/s")
        for stream in opened.values():
            one.close(stream)
            other.close(stream)
