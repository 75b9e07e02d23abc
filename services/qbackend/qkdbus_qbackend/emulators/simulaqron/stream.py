"""A stream of octets in numbered frames: what is lost, doubled or malformed ends it; nothing is ever skipped.

No sockets here: a `Stream` is told which frames came, and says which are to go. Both ends are alike but for the first
frame. At most WINDOW frames of data are under way to an end that has not yet taken them; the rest waits here.

A frame is kind (1 octet), connection (16), number (8), taken (8), data. The number counts the frames of a direction
from 0; `taken` says how many frames of data its sender has handed on so far, which is the credit of the other end.
"""

from __future__ import annotations

import struct

from qkdbus.errors import Exhausted, Refused

LARGEST = 32 << 10  # octets of data in a frame
WINDOW = 64  # frames of data under way: 2 MiB
MOST_WAITING = 16 << 20  # octets that wait for the window, until the connection is given up
PROTOCOL = b"qkdbus-broker/1"
OPEN, DATA, TICK, CLOSE = 1, 2, 3, 4
HEAD = struct.Struct(">B16sQQ")
LONGEST_FRAME = HEAD.size + LARGEST
_SAY_AFTER = WINDOW // 4  # frames taken, until the other end is told if nothing else goes there anyway


class Stream:
    """One end of a connection, without the socket.

    Args:
        connection: 16 random octets that name it; a frame of another connection is never taken for one of this.
        heard: frames that have come already.

    Attributes:
        ended: the other end has said farewell.
    """

    def __init__(self, connection: bytes, heard: int = 0) -> None:
        self.connection, self.ended = connection, False
        self._sent, self._heard = 0, heard  # frames
        self._gone, self._credited = 0, 0  # frames of data: ours that went, ours that were taken there
        self._taken, self._told = 0, 0  # frames of data: theirs that were taken here, as the other end knows
        self._waiting = bytearray()

    @property
    def waiting(self) -> int:
        """Octets that wait for the other end to take what is under way."""
        return len(self._waiting)

    def opening(self) -> bytes:
        """Return the first frame of the end that dials."""
        return self._frame(OPEN, PROTOCOL)

    def write(self, data: bytes) -> list[bytes]:
        """Take octets for the other end; return the frames to send now. Exhausted when it takes too little."""
        if len(self._waiting) + len(data) > MOST_WAITING:
            raise Exhausted(f"{len(self._waiting)} octets wait already")
        self._waiting += data
        return self._due()

    def take(self, frame: bytes) -> bytes:
        """Take a frame that came; return the data to hand on, b"" for none. Refused: the stream is broken."""
        kind, connection, number, taken = _head(frame)
        if connection != self.connection:
            raise Refused("a frame of another connection")
        if kind == CLOSE:
            self.ended = True  # whatever its number: the other end may not know this connection any more
            return b""
        if number != self._heard:
            raise Refused(f"frame {number} in place of {self._heard}")
        if not self._credited <= taken <= self._gone:
            raise Refused(f"{taken} frames taken of {self._gone}")
        self._heard += 1
        self._credited = taken
        data = frame[HEAD.size :]
        if kind == DATA and data:
            self._taken += 1
            return data
        if kind != TICK or data:
            raise Refused(f"a frame of kind {kind} with {len(data)} octets")
        return b""

    def answers(self) -> list[bytes]:
        """Return the frames to send after some came: data that may go now, credit that the other end lacks."""
        frames = self._due()
        if self._taken - self._told >= _SAY_AFTER:
            frames.append(self.tick())
        return frames

    def tick(self) -> bytes:
        """Return a frame that says only how far this end is."""
        return self._frame(TICK)

    def farewell(self) -> bytes:
        """Return the last frame. What waits is dropped with the connection."""
        return self._frame(CLOSE)

    def _due(self) -> list[bytes]:
        frames = []
        while self._waiting and self._gone - self._credited < WINDOW:
            data = bytes(self._waiting[:LARGEST])
            del self._waiting[:LARGEST]
            self._gone += 1
            frames.append(self._frame(DATA, data))
        return frames

    def _frame(self, kind: int, data: bytes = b"") -> bytes:
        number, self._sent, self._told = self._sent, self._sent + 1, self._taken
        return HEAD.pack(kind, self.connection, number, self._taken) + data


def opened_by(frame: bytes) -> Stream:
    """Return this end's stream of a connection whose first frame came. Refused when it is not such a frame."""
    kind, connection, number, taken = _head(frame)
    if (kind, number, taken) != (OPEN, 0, 0):
        raise Refused("a frame of no connection")
    if frame[HEAD.size :] != PROTOCOL:
        raise Refused(f"not {PROTOCOL.decode()}: another version of qkdbus runs there")
    return Stream(connection, heard=1)


def dismissal(frame: bytes) -> bytes:
    """Return the frame that ends, at the other end, the connection that `frame` speaks of; b"" if it has ended there.

    Refused for garbage.
    """
    kind, connection, *_ = _head(frame)
    return b"" if kind == CLOSE else Stream(connection).farewell()


def _head(frame: bytes) -> tuple[int, bytes, int, int]:
    if not HEAD.size <= len(frame) <= LONGEST_FRAME:
        raise Refused(f"a frame of {len(frame)} octets")
    kind, connection, number, taken = HEAD.unpack_from(frame)
    if not OPEN <= kind <= CLOSE:
        raise Refused(f"a frame of kind {kind}")
    return kind, connection, number, taken
