"""Taking key bits from keysync ahead of demand, and acknowledging what was delivered (reference "agreement" 5.5).

One `take` at a time per stream. A take carries what this end has delivered or let expire, less what a caller may
still ask for again; keysync wipes that. So a take goes out when the buffer runs low, when keysync says that there
is something, at most a second after a delivery is settled, and rarely when nothing happens at all.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from qkdbus.errors import QkdbusError
from qkdbus.wire.keysync_pb2 import DRAINING, GONE, Take, Taken

from .metadata import block_tail
from .ports import Asks, Tasks
from .ranges import Span
from .registry import Registry
from .stream import FIRST_TAKE, State, Stream

LARGEST_TAKE = 1 << 20  # bytes
AHEAD = 3  # takes of the current size that the buffer may hold
FAST = 0.5  # s between takes of a stream that is read fast
ACKNOWLEDGE_AFTER = 0.6  # s; looked at four times a second, so always within one
POLL_WAITED_FOR, POLL_USED, POLL_IDLE = 2.0, 5.0, 30.0  # s between takes that nothing has called for
PAIRING = 0.1  # s before the first look whether a stream is paired; doubles
PATIENCE = 4.0
_LAST = 0xFFFFFFFF


class Feed:
    """Feeds the buffers of all streams. `arrived` and `gone` hear what a take brought."""

    def __init__(
        self,
        registry: Registry,
        keysync: Asks,
        tasks: Tasks,
        arrived: Callable[[Stream], None],
        gone: Callable[[Stream], None],
        counters: Counter[str],
        log: logging.Logger,
    ) -> None:
        self._registry, self._keysync, self._tasks = registry, keysync, tasks
        self._arrived, self._gone = arrived, gone
        self._counters, self._log = counters, log
        self._clock, self._monotonic = registry.clock, registry.monotonic
        self.silent = False  # whether the last take got no answer

    def want(self, stream: Stream) -> None:
        """Take as soon as possible."""
        if stream.pulling:
            stream.again = True
        elif stream.state == State.OPEN:
            stream.pulling = True
            self._tasks.spawn(self._pull(stream))

    def attached(self, stream: Stream) -> None:
        """The other application has come: take soon, to see the stream paired."""
        stream.pairing_pause = PAIRING
        self.want(stream)

    def waited_for(self, stream: Stream) -> None:
        """Somebody waits: do not rely on events alone."""
        stream.poll_at = min(stream.poll_at, self._monotonic() + POLL_WAITED_FOR)

    def want_span(self, stream: Stream, span: Span) -> None:
        """Take these indices, wherever the stream is."""
        if span not in stream.wanted:
            stream.wanted.append(span)
        self.want(stream)

    def round(self, streams: list[Stream]) -> None:
        """Acknowledge and poll where it is time. Called a few times a second."""
        now = self._monotonic()
        for stream in streams:
            since = stream.unacknowledged_since
            if now >= stream.poll_at or (since is not None and now - since >= ACKNOWLEDGE_AFTER):
                self.want(stream)

    async def _pull(self, stream: Stream) -> None:
        more = True
        try:
            while more and stream.state == State.OPEN:
                request, jump = self.begin(stream)
                taken = await self._keysync.ask("take", request, patience=PATIENCE)
                more = self.hear(stream, taken, jump)
        except QkdbusError as error:
            self.unheard(stream, error)
        finally:
            self.end(stream)

    # -- one take, sans-I/O
    def begin(self, stream: Stream) -> tuple[Take, bool]:
        """Return the request, which may be sent, and whether it asks for other keys than the next in turn."""
        stream.again = False
        span = stream.wanted.pop(0) if stream.wanted else None
        self._grow(stream)
        request = self._request(stream, span)
        self._registry.commit()  # nothing is acknowledged that is not durable
        return request, span is not None or request.after == _LAST

    def hear(self, stream: Stream, taken: Taken, jump: bool) -> bool:
        """Take the answer; return whether there is more to take now."""
        self.silent = False
        self._counters["takes"] += 1
        self._plan_poll(stream)
        if stream.state != State.OPEN:
            return False
        return self._accept(stream, taken, jump) or stream.again or bool(stream.wanted)

    def unheard(self, stream: Stream, error: QkdbusError) -> None:
        """There was no answer: try again in a second."""
        self.silent = True
        self._counters["takes_failed"] += 1
        self._log.warning("take_failed", extra={"kind": type(error).__name__})
        stream.poll_at = self._monotonic() + 1.0
        stream.unacknowledged_since = None
        # what a repeated call waits for, no take brings but one that asks for just that
        spans = [waiter.again for waiter in stream.waiters if waiter.again is not None]
        stream.wanted += [span for span in spans if span not in stream.wanted]

    def end(self, stream: Stream) -> None:
        """No take is under way any more."""
        stream.pulling = False
        stream.low_water = stream.fresh // 2

    def _request(self, stream: Stream, span: Span | None) -> Take:
        stream.unacknowledged_since = None
        settled = stream.done.without(stream.held_spans()) if stream.held else stream.done
        first, most = max(stream.frontier, stream.done.low), stream.take_bytes
        if span is not None:
            first, most = span[0], (span[1] - span[0]) * stream.chunk
        elif _room(stream) <= 0:
            first = _LAST  # only to acknowledge
        return Take(
            oid=stream.oid,
            low=min(settled.low, _LAST),
            done=[n for start, end in settled.above() for n in (start, end - start)],
            max_bytes=max(most, stream.chunk),
            after=min(first, _LAST),
        )

    def _grow(self, stream: Stream) -> None:
        """Take more at once from a stream that is read fast, less from one that is not."""
        now = self._monotonic()
        quick = now - stream.taken_at < FAST
        read = (stream.delivered - stream.delivered_then) * stream.chunk >= stream.take_bytes // 2
        behind = stream.next_index - stream.frontier > stream.take_bytes // stream.chunk
        if quick and read and behind:
            stream.take_bytes = min(4 * stream.take_bytes, LARGEST_TAKE)
        elif now - stream.taken_at > 10 * FAST:
            stream.take_bytes = FIRST_TAKE
        stream.taken_at, stream.delivered_then = now, stream.delivered

    def _plan_poll(self, stream: Stream) -> None:
        now = self._monotonic()
        if stream.peer_attached and not stream.sid:  # the two keysyncs are about to pair it
            stream.poll_at = now + stream.pairing_pause
            stream.pairing_pause = min(2 * stream.pairing_pause, POLL_USED)
        elif stream.waiters:
            stream.poll_at = now + POLL_WAITED_FOR
        else:
            stream.poll_at = now + (POLL_USED if now - stream.used_at < 60 else POLL_IDLE)

    def _accept(self, stream: Stream, taken: Taken, jump: bool) -> bool:
        if taken.state == GONE:
            self._gone(stream)
            return False
        if not self._ours(stream, taken):
            return False
        # What was delivered and may be asked for again expires at keysync as well: then it is not to be had any more.
        floor = taken.floor
        if floor > stream.done.low or (floor and any(first < floor for first in stream.held)):
            stream.expire(0, floor, self._monotonic())
            self._registry.moved[stream] = None
        end = self._store(stream, taken)
        stream.next_index = max(stream.next_index, taken.next_index)
        if not jump:
            # an empty answer means that nothing is there from `after` on: whatever is, has been done with
            reached = end if taken.runs else taken.next_index
            stream.frontier = max(stream.frontier, reached, floor)
        stream.caught_up = stream.frontier >= stream.next_index
        if taken.state == DRAINING and not stream.draining_since:
            stream.draining_since = self._clock()
            self._registry.changed[stream] = None
            self._log.info("stream_draining", extra={"oid": stream.oid.hex()})
        self._arrived(stream)
        return not stream.caught_up and _room(stream) > 0 and (jump or bool(taken.runs))

    def _ours(self, stream: Stream, taken: Taken) -> bool:
        """Bind the association to its incarnation at the first answer; drop what is of another."""
        sid = taken.sid.SerializeToString() if taken.HasField("sid") else b""
        if sid and not stream.sid:
            stream.sid = sid
            stream.peer_attached = True  # it was paired, so the other end is there
            self._registry.changed[stream] = None
            stream.tell()
        return bool(sid) and sid == stream.sid

    def _store(self, stream: Stream, taken: Taken) -> int:
        now, end = self._clock(), 0
        for run in taken.runs:
            end = run.first + run.count
            if len(run.bits) != run.count * stream.chunk:
                self._counters["takes_unreadable"] += 1
                self._log.error("take_unreadable", extra={"first": run.first, "count": run.count})
                continue
            if run.available_at + stream.lifetime <= now:
                stream.expire(run.first, end, self._monotonic())
                self._registry.moved[stream] = None
                continue
            record = run.record if run.HasField("record") else None
            stream.accept(run.first, run.bits, run.available_at, block_tail(record, stream.chunk))
        return end


def _room(stream: Stream) -> int:
    return AHEAD * stream.take_bytes - stream.fresh * stream.chunk
