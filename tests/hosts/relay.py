"""A long way between two network devices: what comes in at one leaves at the other some time later, in order.

    relay.py DEVICE DEVICE SECONDS [JITTER SECONDS]

Says its process id (as /proc knows it) when it carries. Not every kernel has netem, but each has packet sockets. Frames
travel with their offload header, so that the large ones which TCP makes on such devices pass whole.
"""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque

_ALL = 3  # ETH_P_ALL
_SOL_PACKET, _ADD_MEMBERSHIP, _VNET_HDR, _IGNORE_OUTGOING = 263, 1, 15, 23
_PROMISCUOUS = 1
_LARGEST = 70_000
_BUFFER = 32 << 20
_AT_ONCE = 64


def opened(device: str) -> socket.socket:
    """A socket that hears and sends whole frames of a device."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    end.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    for force in (33, 32):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
        end.setsockopt(socket.SOL_SOCKET, force, _BUFFER)
    end.bind((device, _ALL))
    membership = struct.pack("=IHH8x", socket.if_nametoindex(device), _PROMISCUOUS, 0)
    end.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
    return end


class Way:
    """One direction: frames on their way to `end`, each with the time when it arrives."""

    def __init__(self, end: socket.socket, delay: float, jitter: float) -> None:
        self.end, self.delay, self.jitter = end, delay, jitter
        self.frames: deque[tuple[float, bytes]] = deque()
        self._last = 0.0

    def enter(self, frame: bytes) -> None:
        """A frame sets out now; none overtakes another."""
        due = time.monotonic() + self.delay + self.jitter * random.random()
        self._last = max(self._last, due)
        self.frames.append((self._last, frame))

    def arrive(self) -> None:
        """Send what is due."""
        while self.frames and self.frames[0][0] <= time.monotonic():
            try:
                self.end.send(self.frames[0][1])
            except BlockingIOError:
                return  # the device is busy: soon
            except OSError:
                pass  # it is down: the frame is lost, as on any cable
            self.frames.popleft()


def relay(ends: tuple[socket.socket, socket.socket], delay: float, jitter: float) -> None:
    """Carry frames, for ever."""
    ways = {ends[0]: Way(ends[1], delay, jitter), ends[1]: Way(ends[0], delay, jitter)}
    while True:
        due = min((way.frames[0][0] for way in ways.values() if way.frames), default=None)
        patience = None if due is None else max(due - time.monotonic(), 0.0001)
        for end in select.select(list(ways), [], [], patience)[0]:
            for _ in range(_AT_ONCE):
                try:
                    ways[end].enter(end.recv(_LARGEST))
                except OSError:
                    break
        for way in ways.values():
            way.arrive()


def main(one: str, other: str, delay: str, jitter: str = "0") -> None:
    """Relay between two devices."""
    ends = opened(one), opened(other)
    print(os.readlink("/proc/self"), flush=True)
    relay(ends, float(delay), float(jitter))


if __name__ == "__main__":
    main(*sys.argv[1:])
