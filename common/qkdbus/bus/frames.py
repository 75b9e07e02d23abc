"""A call, an answer and a notice as ZeroMQ frames: [envelope..., b"", b"qkdbus/1", Head, body]."""

from __future__ import annotations

from collections.abc import Sequence

import zmq
from google.protobuf.message import DecodeError

from ..errors import Exhausted, Failed, QkdbusError, Refused, Unauthorised, Unavailable
from ..wire.head_pb2 import EXHAUSTED, FAILED, OK, REFUSED, UNAUTHORISED, UNAVAILABLE, Head, Outcome

PROTOCOL = b"qkdbus/1"

_OUTCOMES: dict[type[QkdbusError], Outcome] = {
    Unauthorised: UNAUTHORISED,
    Refused: REFUSED,
    Exhausted: EXHAUSTED,
    Unavailable: UNAVAILABLE,
    Failed: FAILED,
}
MOST_FRAMES = 64  # of a message that are kept
LONGEST_PATIENCE = 2**32 - 1  # ms
LONGEST_REASON = 1000  # characters; requests are quoted in reasons, and may be long
_ERRORS = {outcome: error for error, outcome in _OUTCOMES.items()}
# Plain numbers: pyzmq's flags are an enum, and joining two takes longer than sending a frame.
_NOW, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)


def receive(socket: zmq.Socket[bytes]) -> tuple[zmq.Frame, list[bytes]]:
    """Receive one message now: its last frame (which knows who sent it) and the bytes of all. zmq.Again: none there.

    Frame by frame without copy, because only a Frame knows for nothing whether another follows: `recv_multipart`
    asks the socket each time and takes more than twice as long.
    """
    frame = socket.recv(_NOW, False)
    frames = [frame.bytes]
    while frame.more:
        frame = socket.recv(_NOW, False)
        if len(frames) < MOST_FRAMES:  # a message of more is none of ours, whatever the rest of it is
            frames.append(frame.bytes)
    return frame, frames


def send(socket: zmq.Socket[bytes], envelope: Sequence[bytes], head: bytes, body: bytes) -> None:
    """Send an envelope and our three frames now. zmq.Again, or EHOSTUNREACH on a ROUTER: nothing was sent.

    Only the first frame can fail so: the others go the way that the first has taken.
    """
    for part in envelope:
        socket.send(part, _MORE)
    socket.send(PROTOCOL, _MORE)
    socket.send(head, _MORE)
    socket.send(body, _NOW)


def split(frames: Sequence[bytes]) -> tuple[list[bytes], Head, bytes]:
    """Take a received message apart: the envelope with its delimiter, Head, body.

    Refused when it is not one of ours; the envelope (when there is one) is in the error's `envelope`.
    """
    try:
        cut = frames.index(b"", 0, len(frames)) + 1
    except ValueError:
        raise Refused("no delimiter") from None
    envelope = list(frames[:cut])
    if len(frames) != cut + 3 or frames[cut] != PROTOCOL:
        raise NotOurs(envelope, f"expected the frames {PROTOCOL.decode()}, head, body")
    try:
        return envelope, Head.FromString(frames[cut + 1]), frames[cut + 2]
    except DecodeError:
        raise NotOurs(envelope, "the head cannot be read") from None


class NotOurs(Refused):
    """Raised when a message has an envelope, so that it can be refused, but not our frames."""

    def __init__(self, envelope: list[bytes], reason: str) -> None:
        super().__init__(reason)
        self.envelope = envelope


def on_the_wire(patience: float) -> int:
    """Return patience (s) as a head says it, in ms: at most 49 days."""
    return min(int(patience * 1e3), LONGEST_PATIENCE)


def reason_of(error: Exception) -> str:
    """Return what is said of a failure on the wire: the beginning, if it is long."""
    return str(error)[:LONGEST_REASON]


def outcome_of(error: QkdbusError) -> Outcome:
    """Return the outcome that says this failure on the wire."""
    for kind in type(error).__mro__:
        if kind in _OUTCOMES:
            return _OUTCOMES[kind]
    return FAILED


def raise_for(head: Head, what: str) -> None:
    """Raise the error that an answer's head says, if any."""
    if head.outcome != OK:
        raise _ERRORS.get(head.outcome, Failed)(f"{what}: {head.reason}")
