"""The channel of one exchange: what the two ends of it say to each other, numbered and in order.

Two planes: CLASSICAL carries the protocol's messages, QUANTUM the signal of an emulator that lives in this process.
Parcels come over TCP and CURVE, so they are whole and in order as long as the connection lives; a parcel that is
missing after all ends the exchange (another one is cheap), one that comes twice is ignored.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from qkdbus.wire.dispatcher_pb2 import JobName
from qkdbus.wire.qbackend_pb2 import CLASSICAL, QUANTUM, Parcel, Plane

from .failure import Broken, NoKey

PIECE = 256 << 10  # octets of a message in one parcel
LARGEST_PARCEL = 1 << 20  # octets of a body that we take
LARGEST_MESSAGE = 16 << 20  # octets, put together from pieces
UNHEARD = 1024  # messages that nobody has asked for yet
NO_ATTEMPT = bytes(16)
ALARM = 1  # lane of a BYE
_HEAD = struct.Struct("<BBQ")  # topic, whether more pieces follow, lane


class Job(NamedTuple):
    """Names an exchange at this end; the other end's differs only in `peer`."""

    peer: str
    epoch_n: int
    epoch_r: int
    job: int

    @classmethod
    def of(cls, name: JobName) -> Job:
        """Read a job's name."""
        return cls(name.peer, name.epoch_n, name.epoch_r, name.job)


class Topic(IntEnum):
    """What a message is about."""

    HELLO = 1  # both: contribution to the run's name, and what is to be done
    READY = 2  # follower: it has heard the hello
    BATCH = 3  # sifting of one batch; the lane is the batch
    ENOUGH = 4  # source: how many batches there are
    DISTIL = 5  # estimation, reconciliation, verification, amplification
    BYE = 6  # this end has given up, and why; in the lane ALARM: for a reason that an eavesdropper would be
    AUTHENTICATE = 7  # of all that was said on the other topics


@dataclass(slots=True)
class _Stream:
    """One plane in both directions: the numbers of the next parcels, and a message that is still incomplete."""

    out: int = 0
    into: int = 0
    pieces: bytearray | None = None


class Ears(Protocol):
    """Whoever follows what is said on the classical plane, to authenticate it in the end."""

    def told(self, topic: int, lane: int, body: bytes) -> None:
        """This end says something."""

    def heard(self, topic: int, lane: int, body: bytes) -> None:
        """The other end has said something; in the order in which it was said."""


UNFOLLOWED = (Topic.BYE, Topic.AUTHENTICATE)  # BYE ends it all; the authentication cannot authenticate itself


class Channel:
    """One end of the channel of one exchange."""

    def __init__(
        self,
        job: Job,
        node: str,
        attempt: bytes,
        send: Callable[[Parcel], None],
        *,
        progress: Callable[[], None] = lambda: None,
        alive: Callable[[], None] = lambda: None,
        endpoint: str = "",
        ears: Ears | None = None,
    ) -> None:
        """Speak as `node`. `attempt`: 16 random octets. `send` takes parcels to the other end, or drops them.

        `progress` is called for every new parcel, `alive` for one that came before. `endpoint`: of this worker, for
        the way back. `ears` follow what is said on the classical plane.
        """
        self.job = job
        self._node, self._attempt, self._send, self._endpoint = node, attempt, send, endpoint
        self._progress, self._alive, self._ears = progress, alive, ears
        self._theirs = b""
        self._streams = {CLASSICAL: _Stream(), QUANTUM: _Stream()}
        self._heard: dict[tuple[int, int], deque[bytes]] = {}
        self._waiting: dict[tuple[int, int], asyncio.Future[bytes]] = {}
        self._failure: NoKey | None = None
        self._last: Parcel | None = None

    # -- out
    def tell(self, topic: Topic, body: bytes, lane: int = 0) -> None:
        """Say something to the other end."""
        if self._ears is not None and topic not in UNFOLLOWED:
            self._ears.told(topic, lane, body)
        self._tell(CLASSICAL, topic, lane, body)

    def signal(self, body: bytes) -> None:
        """Send an in-process emulator's signal."""
        self._tell(QUANTUM, 0, 0, body)

    def repeat(self) -> None:
        """Send the last parcel again: no connection may have been there yet, or the other end has forgotten us.

        An end that knows the parcel already does not mind.
        """
        if self._last is not None:
            self._send(self._last)

    def _tell(self, plane: Plane, topic: int, lane: int, body: bytes) -> None:
        for start in range(0, max(1, len(body)), PIECE):
            more = start + PIECE < len(body)
            self._parcel(plane, _HEAD.pack(topic, more, lane) + body[start : start + PIECE])

    def _parcel(self, plane: Plane, body: bytes) -> None:
        stream = self._streams[plane]
        self._last = Parcel(
            node=self._node,
            epoch_n=self.job.epoch_n,
            epoch_r=self.job.epoch_r,
            job=self.job.job,
            plane=plane,
            number=stream.out,
            body=body,
            attempt=self._attempt,
            endpoint=self._endpoint,
        )
        stream.out += 1
        self._send(self._last)

    def take_leave(self, failure: NoKey) -> None:
        """Say that this end has given up, and why."""
        self.tell(Topic.BYE, failure.reason.encode(), ALARM if failure.alarm else 0)

    # -- in
    async def hear(self, topic: Topic, lane: int = 0) -> bytes:
        """Wait for the next message on `topic`. One waiter a topic and lane. NoKey when the channel has failed."""
        return await self._next(topic, lane)

    async def sense(self) -> bytes:
        """Wait for the next signal of the other end's in-process emulator."""
        return await self._next(0, 0)

    async def _next(self, topic: int, lane: int) -> bytes:
        where = (topic, lane)
        heard = self._heard.get(where)
        if heard:
            message = heard.popleft()
            if not heard:
                del self._heard[where]
            return message
        if self._failure is not None:
            raise self._failure
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[where] = waiting
        try:
            return await waiting
        finally:
            self._waiting.pop(where, None)

    def take(self, parcel: Parcel) -> None:
        """Accept a parcel from the other end."""
        if self._theirs and parcel.attempt != self._theirs:
            self.fail(NoKey("the other end has begun again"))
        stream = self._streams.get(parcel.plane)
        if self._failure is not None or stream is None:
            return
        if parcel.number < stream.into:
            self._alive()
            return
        self._theirs = parcel.attempt
        if parcel.number > stream.into:
            self.fail(NoKey("a parcel was lost"))
            return
        stream.into += 1
        self._progress()
        try:
            self._assemble(parcel.plane, stream, parcel.body)
        except (Broken, ValueError, struct.error):
            self.fail(Broken("a parcel that cannot be read"))

    def _assemble(self, plane: Plane, stream: _Stream, body: bytes) -> None:
        topic, more, lane = _HEAD.unpack_from(body)
        piece = memoryview(body)[_HEAD.size :]
        if stream.pieces is None and not more:
            message = bytes(piece)
        else:
            stream.pieces = stream.pieces or bytearray()
            stream.pieces += piece
            if len(stream.pieces) > LARGEST_MESSAGE:
                raise Broken("a message beyond all measure")
            if more:
                return
            message, stream.pieces = bytes(stream.pieces), None
        topic = 0 if plane == QUANTUM else Topic(topic)
        if topic == Topic.BYE:
            self.fail(NoKey(f"the other end gave up: {_readable(message)}", alarm=lane == ALARM))
            return
        if self._ears is not None and plane == CLASSICAL and topic not in UNFOLLOWED:
            self._ears.heard(topic, lane, message)
        self._deliver((topic, lane), message)

    def _deliver(self, where: tuple[int, int], message: bytes) -> None:
        waiting = self._waiting.get(where)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        elif sum(map(len, self._heard.values())) >= UNHEARD:
            raise Broken("more said than anybody listens to")
        else:
            self._heard.setdefault(where, deque()).append(message)

    # -- end
    def fail(self, failure: NoKey) -> None:
        """End the channel: whoever waits on it, now or later, gets `failure`."""
        if self._failure is None:
            self._failure = failure
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(failure)


def _readable(message: bytes) -> str:
    """Return what the other end says to a person: short, and nothing that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in message[:400].decode(errors="replace")[:100])


def farewell(parcel: Parcel, node: str, endpoint: str) -> Parcel:
    """Return the answer of `node`, at `endpoint`, to a parcel of an exchange that it does not take part in."""
    return Parcel(
        node=node,
        epoch_n=parcel.epoch_n,
        epoch_r=parcel.epoch_r,
        job=parcel.job,
        attempt=NO_ATTEMPT,
        body=_HEAD.pack(Topic.BYE, 0, 0) + b"not known here",
        endpoint=endpoint,
    )
