"""The scene of keysync: both key managers of a link, and what they have seen of its streams."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..contracts.keysync import PEER
from ..runtime import Room
from ..wire import keysync_pb2 as wire
from ..wire.dispatcher_pb2 import Exchange
from ..wire.head_pb2 import Event
from . import bits
from .check import hold
from .line import Line
from .networks import ALICE, BOB, OTHER
from .stage import Stage
from .standins import fibre
from .standins.fibre import Fibre
from .waiting import until

BOTH = (ALICE, BOB)
CHUNK = 32  # octets
WINDOW_BYTES = 4096
MUCH = 1 << 20
SEEN = 16  # octets: so many are not in a log by chance


@dataclass(frozen=True)
class Stream:
    """A stream's names: the KSID, and the oid at each end."""

    ksid: bytes
    oids: dict[str, bytes]
    size: int = CHUNK
    ttl: int = 0

    @classmethod
    def new(cls, size: int = CHUNK, ttl: int = 0, ksid: bytes = b"") -> Stream:
        """Make up new names."""
        return cls(ksid or os.urandom(16), {name: os.urandom(16) for name in BOTH}, size, ttl)


class Scene:
    """Two keysyncs over one fibre.

    Attributes:
        book: (sid, index) -> bits, of all that either end ever handed out.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage, self.fibre = stage, Fibre()
        self.lines: dict[str, Line] = {}
        self.book: dict[tuple[bytes, int], bytes] = {}
        self._streams: list[Stream] = []
        self._ears: list[Room] = []

    # -- the scene
    async def open(self) -> None:
        """Put the dispatchers up."""
        for name in BOTH:
            fibre.serve(self.stage.room(name, "dispatcher"), self.fibre)
            self.lines[name] = self.stage.line(name)

    async def settle(self) -> None:
        """Close the streams of the check before, and let every exchange succeed."""
        self.fibre.calm()
        for ear in self._ears:
            self.stage.leave(ear)
        self._ears.clear()
        for stream in self._streams:
            for name in BOTH:
                await self.close_stream(stream, name)
        self._streams.clear()

    async def close(self) -> None:
        """Hang up."""
        for line in self.lines.values():
            line.close()

    # -- as the key managers
    async def stream(self, size: int = CHUNK, ttl: int = 0, ksid: bytes = b"", *, paired: bool = True) -> Stream:
        """Open a new stream at both ends, and wait until it is one; `paired=False`: only make up its names."""
        stream = Stream.new(size, ttl, ksid)
        self._streams.append(stream)
        if paired:
            for name in BOTH:
                await self.open_at(stream, name)
            await self.paired(stream)
        return stream

    async def open_at(self, stream: Stream, name: str) -> wire.Taken:
        """Open a stream at one end; return what a `take` then says."""
        asked = wire.OpenStream(
            ksid=stream.ksid, oid=stream.oids[name], peer=OTHER[name], chunk_size=stream.size, ttl=stream.ttl
        )
        (await self.lines[name].ask("open_stream", asked)).read(wire.StreamOpened)
        return await self.take(stream, name)

    async def paired(self, stream: Stream) -> None:
        """Wait until both ends say OPEN."""
        for name in BOTH:
            await until(partial(self.state_of, stream, name, wire.OPEN), f"OPEN at {name}")

    async def close_stream(self, stream: Stream, name: str) -> None:
        """Close a stream at one end."""
        (await self.lines[name].ask("close_stream", wire.CloseStream(oid=stream.oids[name]))).read(wire.StreamClosed)

    async def take(
        self, stream: Stream, name: str, low: int = 0, done: Sequence[int] = (), max_bytes: int = 0, after: int = 0
    ) -> wire.Taken:
        """Take, and note what comes. Breach when an index comes with other bits than it had, here or there."""
        asked = wire.Take(oid=stream.oids[name], low=low, done=done, max_bytes=max_bytes, after=after)
        taken = (await self.lines[name].ask("take", asked)).read(wire.Taken)
        for run in taken.runs:
            hold(len(run.bits) == run.count * stream.size, "count x chunk_size octets in a run", f"{len(run.bits)}")
        sid = taken.sid.SerializeToString()
        for index, key in _keys(taken, stream.size).items():
            known = self.book.setdefault((sid, index), key)
            if len(key) >= SEEN:
                self.stage.seen.add(key)
            hold(
                known == key,
                "one key for one index, at both ends and for ever",
                f"index {index} has two, one at {name}",
            )
        return taken

    async def keys(
        self, stream: Stream, name: str, low: int = 0, done: Sequence[int] = (), max_bytes: int = MUCH, after: int = 0
    ) -> dict[int, bytes]:
        """Return the chunks that an end hands out: index -> bits."""
        return _keys(await self.take(stream, name, low, done, max_bytes, after), stream.size)

    async def equal(self, stream: Stream, count: int) -> dict[int, bytes]:
        """Wait until both ends have `count` chunks; return those that both hand out, which are equal."""
        for name in BOTH:
            await until(partial(self._reaches, stream, name, count), f"{count} chunks at {name}")
        ours, theirs = [await self.keys(stream, name) for name in BOTH]
        for name, found in zip(BOTH, (ours, theirs), strict=True):
            dense = sorted(found) == list(range(min(found, default=0), max(found, default=-1) + 1))
            hold(dense, "indices without gaps", f"gaps at {name}")
        both = ours.keys() & theirs.keys()
        hold(both, "chunks that both ends have", "none")
        return {index: ours[index] for index in both}

    def nothing_twice(self) -> None:
        """Breach when any bit of all that was ever handed out was handed out twice."""
        found = bits.used_twice(self.book.values())
        hold(not found, "every bit once", f"{found} chunks of {len(self.book)} have bits of another")

    async def opens(self, name: str) -> list[bytes]:
        """Return the oids that are open at an end."""
        return list((await self.lines[name].ask("list_opens", wire.ListOpens())).read(wire.Opens).oids)

    async def status(self, name: str) -> wire.LinkStatus:
        """Return how an end sees the link."""
        links = (await self.lines[name].ask("link_status", wire.LinkStatusAsked())).read(wire.Links).links
        hold(len(links) == 1, "one link", f"{len(links)}")
        return links[0]

    # -- questions, to wait for
    async def _reaches(self, stream: Stream, name: str, count: int) -> bool:
        return (await self.take(stream, name)).next_index >= count

    async def state_of(self, stream: Stream, name: str, state: int) -> bool:
        """Whether an end gives a stream this state."""
        return (await self.take(stream, name)).state == state

    async def state_is(self, name: str, state: str) -> bool:
        """Whether an end gives the link this state."""
        return (await self.status(name)).state == state

    async def floor_is_above(self, stream: Stream, name: str, index: int) -> bool:
        """Whether every index up to this one has expired at an end."""
        return (await self.take(stream, name)).floor > index

    # -- events and the neighbour
    def hear(self) -> dict[str, list[Event]]:
        """Return lists that fill with what both ends publish from now on."""
        heard: dict[str, list[Event]] = {name: [] for name in BOTH}
        for name in BOTH:
            ear = self.stage.room(name, "keymanager")
            self._ears.append(ear)
            ear.listen(ear.settings.ipc("keysync.events"), [f"{name}.keysync."], heard[name].append)
        return heard

    def tell(self, name: str, message: wire.Reconcile) -> None:
        """Tell an end something as its neighbour would, with the neighbour's own key."""
        mouth = self.stage.room(OTHER[name], "mouth")
        self._ears.append(mouth)
        [neighbour] = mouth.settings.neighbours
        endpoint = f"tcp://{neighbour.host}:{neighbour.ports.keysync}"
        mouth.asker(endpoint, PEER, server_key=neighbour.public_key).tell("reconcile", message)


def _keys(taken: wire.Taken, size: int) -> dict[int, bytes]:
    return {
        run.first + place: run.bits[place * size : (place + 1) * size]
        for run in taken.runs
        for place in range(run.count)
    }


def job_of(asked: Exchange) -> tuple[int, int, int]:
    """Return what names a job within a link."""
    return asked.name.epoch_n, asked.name.epoch_r, asked.name.job
