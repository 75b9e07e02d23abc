"""A qbackend for real QKD equipment beside emulated links: `backend.py --keys FOLDER NODE_DIR [--replica N]`.

The equipment of a link leaves the same key at either end, in a file FOLDER/<node>/<peer>.keys: 8 octets that say how
many have been used, then the key. The ends agree from where on to take it. Links without such a file are emulated.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qkdbus.errors import BadFile
from qkdbus.runtime import Room, Service, run
from qkdbus.wire.dispatcher_pb2 import KeyBlock
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_qbackend import build as built_in
from qkdbus_qbackend.channel import Channel, Topic
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.order import Order

USED = struct.Struct("<Q")  # at the head of a file
SPOT = struct.Struct("<QQ8s")  # follower: octets used, octets there; arbiter: offset, count; 8 random ones of either


class Device:
    """The key of one link. Octets are marked as used before they are read, and wiped: nobody gets them again."""

    def __init__(self, file: Path) -> None:
        self._fd = os.open(file, os.O_RDWR)
        if os.fstat(self._fd).st_mode & 0o077:
            raise BadFile(f"{file}: others may read this key, so it is none; make a new one with mode 0600")

    async def form(self, channel: Channel, order: Order) -> KeyBlock:
        """Take one block: the follower says how far it is, the arbiter decides."""
        own, wanted, used = os.urandom(8), -(-order.bits // 8), self._used()
        if order.arbiter:
            theirs_used, theirs_there, theirs = SPOT.unpack(await channel.hear(Topic.HELLO))
            with self._alone():
                offset = max(theirs_used, self._used())
                count = max(0, min(wanted, theirs_there - offset, self._there() - offset))
                octets = self._take(offset, count)
            channel.tell(Topic.READY, SPOT.pack(offset, count, own))
        else:
            channel.tell(Topic.HELLO, SPOT.pack(used, self._there(), own))
            offset, count, theirs = SPOT.unpack(await channel.hear(Topic.READY))
            if offset < used or count > wanted:
                raise NoKey("the other end says what cannot be")
            with self._alone():
                octets = self._take(offset, count)
        name = own + theirs if order.arbiter else theirs + own
        record = BlockRecord(block_id=name, protocol="device", emulator="device", finished_at=time.time())
        record.created = record.sent = record.kept = record.length = 8 * len(octets)
        return KeyBlock(run=name, bits=octets, length=record.length, record=record)

    def _used(self) -> int:
        return int(USED.unpack(os.pread(self._fd, USED.size, 0))[0])

    def _there(self) -> int:  # octets so far: the equipment may append more
        return os.fstat(self._fd).st_size - USED.size

    def _take(self, offset: int, count: int) -> bytes:
        os.pwrite(self._fd, USED.pack(max(self._used(), offset + count)), 0)
        os.fdatasync(self._fd)
        octets = os.pread(self._fd, count, USED.size + offset)
        os.pwrite(self._fd, bytes(count), USED.size + offset)
        if not count or len(octets) < count:
            raise NoKey("the device has no key left")
        return octets

    @contextmanager
    def _alone(self) -> Iterator[None]:  # among the workers of this node
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)


def build(room: Room, keys: Path) -> Service:
    """Wire the worker of one node: the built-in one, but for the links that have a file below `keys`."""
    files = {peer.name: keys / room.settings.name / f"{peer.name}.keys" for peer in room.settings.neighbours}
    return built_in.build(room, {peer: Device(file).form for peer, file in files.items() if file.exists()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("node", type=Path)
    parser.add_argument("--replica", type=int, default=0)
    asked = parser.parse_args()
    sys.exit(run("qbackend", lambda room: build(room, asked.keys), asked.node, asked.replica))
