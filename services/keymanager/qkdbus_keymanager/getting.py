"""GET_KEY (ETSI GS QKD 004 clause 6.2; rulings C2-C5, C10), and many keys in one call.

With a key in the buffer this is a plain function that changes numbers in memory only; the commit that makes many
calls durable comes before their answers go out. Else the call waits, up to the stream's Timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import cast

from qkdbus.contracts.call import Call
from qkdbus.errors import Refused, Unauthorised
from qkdbus.status import Status
from qkdbus.wire.keymanager_pb2 import GetKey, GetKeys, Key, Keys

from . import metadata
from .absent import Absent
from .delivery import Caller
from .feed import Feed
from .registry import Registry
from .stream import Stream
from .waiting import Answer, Waiter, Waiting, bounded

LAST_WAIT = 3600.0  # s, for the bits of a delivery that is repeated
LARGEST_ANSWER = 1 << 20  # bytes of key in one answer of get_keys, but always at least one key


class Getting:
    """Delivers keys, each once."""

    def __init__(
        self, registry: Registry, feed: Feed, waiting: Waiting, absent: Absent, shut_out: Mapping[str, str]
    ) -> None:
        """`shut_out`: neighbours of whose streams no key is given out, each with the reason; changes in place."""
        self._feed, self._waiting, self._absent, self._shut_out = feed, waiting, absent, shut_out
        self._streams, self._callers, self._moved = registry.streams, registry.callers, registry.moved
        self._clock, self._monotonic = registry.clock, registry.monotonic

    def get_key(self, request: GetKey, call: Call) -> Key | Awaitable[Key]:
        """Deliver one key: the one asked for, or the next."""
        caller = self._callers.of(call)
        stream = self._streams.get(request.ksid)
        if stream is None or not stream.live:
            status, reason = self._absent.explain(request.ksid, call.user)
            return Key(status=status, reason=reason)
        if call.user not in stream.users:
            raise Unauthorised(f"{call.user!r} is not the application of this stream")
        if self._shut_out and stream.peer in self._shut_out:
            return Key(status=Status.NO_QKD_CONNECTION, reason=self._why_shut_out(stream))
        if caller is not None:
            number = call.number
            if number in caller.answers or number in caller.pending or number in caller.dry:
                return cast("Awaitable[Key]", self._again(caller, call, stream, request))
        else:
            number = 0
        answer = self._one(stream, request, caller, number)
        if answer is not None:
            return answer
        return cast("Awaitable[Key]", self._wait(stream, request, caller, call))

    def get_keys(self, request: GetKeys, call: Call) -> Keys | Awaitable[Keys]:
        """Deliver up to `count` keys in a row, at least one."""
        if not request.count:
            raise Refused("count is 0")
        caller = self._callers.of(call)
        stream = self._streams.get(request.ksid)
        if stream is None or not stream.live:
            status, reason = self._absent.explain(request.ksid, call.user)
            return Keys(status=status, reason=reason)
        if call.user not in stream.users:
            raise Unauthorised(f"{call.user!r} is not the application of this stream")
        if self._shut_out and stream.peer in self._shut_out:
            return Keys(status=Status.NO_QKD_CONNECTION, reason=self._why_shut_out(stream))
        number = call.number
        if caller is not None and (number in caller.answers or number in caller.pending or number in caller.dry):
            return cast("Awaitable[Keys]", self._again(caller, call, stream, request))
        answer = self._many(stream, request, caller, call.number)
        if answer is not None:
            return answer
        return cast("Awaitable[Keys]", self._wait(stream, request, caller, call))

    def _why_shut_out(self, stream: Stream) -> str:
        return f"{stream.peer} is shut out ({self._shut_out[stream.peer]}): it may have these keys"

    # -- delivering
    def _one(self, stream: Stream, request: GetKey, caller: Caller | None, number: int) -> Key | None:
        """Deliver one key now, or return None when it is not here."""
        if request.HasField("index"):
            index = request.index
            if index in stream.done:
                return Key(status=2, index=index, reason="this index was delivered, or has expired")
        else:
            index = stream.done.low
        run = stream.buffer.find(index)
        if run is None:
            return cast("Key | None", self._dry(stream, Key, index))
        age = self._clock() - run.available_at
        if age >= stream.lifetime:
            self.expire(stream)
            return self._one(stream, request, caller, number)
        size = request.metadata_size
        if size and stream.metadata:
            text = metadata.describe(age, run.tail, size)
            if not text:
                return Key(status=8, index=index, metadata_size=metadata.NEEDED, reason="metadata needs more room")
            answer = Key(index=index, key=run.keys(index, index + 1), metadata=text)
        else:
            answer = Key(index=index, key=run.keys(index, index + 1))
        self._deliver(stream, index, index + 1, caller, number)
        return answer

    def _many(self, stream: Stream, request: GetKeys, caller: Caller | None, number: int) -> Keys | None:
        """Deliver keys in a row now, or return None when the next is not here."""
        buffer, first = stream.buffer, stream.done.low
        run = buffer.find(first)
        if run is None:
            return cast("Keys | None", self._dry(stream, Keys, first))
        if self._clock() - run.available_at >= stream.lifetime:
            self.expire(stream)
            return self._many(stream, request, caller, number)
        limit = first + min(request.count, LARGEST_ANSWER // stream.chunk or 1)
        limit = stream.done.gap_end(first, limit)
        end = min(run.end, limit)
        while end < limit and (further := buffer.find(end)) is not None:
            end = min(further.end, limit)
        keys = buffer.keys(first, end)
        assert keys is not None, "what find() found is here"
        self._deliver(stream, first, end, caller, number)
        return Keys(index=first, count=end - first, keys=keys)

    def _deliver(self, stream: Stream, first: int, end: int, caller: Caller | None, number: int) -> None:
        if caller is not None:
            self._callers.remember(caller, number, stream, first, end)
        stream.deliver(first, end - first)
        self._moved[stream] = None
        stream.used_at = now = self._monotonic()
        if caller is None:
            stream.settle(first, end, now)
        if stream.fresh <= stream.low_water and not stream.pulling:
            self._feed.want(stream)

    def _dry(self, stream: Stream, kind: type[Key] | type[Keys], index: int) -> Answer | None:
        """Have a key brought that is not in the buffer; or answer, when there never will be one."""
        if index < stream.next_index:  # keysync has it
            if index == stream.done.low and index >= stream.frontier:
                self._feed.want(stream)
            else:
                self._feed.want_span(stream, (index, index + 1))
        elif stream.draining_since and stream.caught_up:
            return kind(status=2, index=index, reason="the other application has closed, and no key is left")
        elif stream.unacknowledged_since is not None:
            self._feed.want(stream)  # what keysync then wipes makes room for new keys
        return None

    def expire(self, stream: Stream) -> None:
        """Wipe the keys whose time to live is over (ruling C9)."""
        limit = self._clock() - stream.lifetime
        for run in [run for run in stream.buffer.runs if run.available_at <= limit]:
            stream.expire(run.first, run.end, self._monotonic())
            self._moved[stream] = None

    # -- waiting
    def _wait(
        self,
        stream: Stream,
        request: GetKey | GetKeys,
        caller: Caller | None,
        call: Call,
        again: tuple[int, int] | None = None,
    ) -> Awaitable[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # A key that is this call's already is waited for as long as the caller does: another answer would lose it.
        within = bounded(stream.timeout if again is None else max(stream.timeout, LAST_WAIT), call.patience)
        self._feed.waited_for(stream)
        return self._waiting.add(Waiter(stream, request, caller, call.number, future, again), within)

    def serve(self, waiter: Waiter) -> Answer | None:
        """Answer a waiting call if that can be done now."""
        stream, request = waiter.stream, waiter.request
        if waiter.again is not None:
            return self._repeat(stream, request, *waiter.again)
        if isinstance(request, GetKey):
            return self._one(stream, request, waiter.caller, waiter.number)
        return self._many(stream, request, waiter.caller, waiter.number)

    # -- the same call once more
    def _again(
        self, caller: Caller, call: Call, stream: Stream, request: GetKey | GetKeys
    ) -> Answer | Awaitable[Answer]:
        """Answer a repeated call as the first time; after a restart its bits have to be taken again."""
        number = call.number
        if number in caller.pending:
            return caller.pending[number]
        if number in caller.dry:
            return caller.dry[number]
        known = caller.answers[number]
        if known.stream is not stream:
            raise Refused(f"call {number} asked for another stream before")
        answer = self._repeat(stream, request, known.first, known.end)
        if answer is not None:
            return answer
        self._feed.want_span(stream, (known.first, known.end))
        return self._wait(stream, request, caller, call, (known.first, known.end))

    def _repeat(self, stream: Stream, request: GetKey | GetKeys, first: int, end: int) -> Answer | None:
        if first not in stream.held:
            kind = Key if isinstance(request, GetKey) else Keys
            return kind(status=2, index=first, reason="this index was delivered, or has expired")
        keys = stream.buffer.keys(first, end)
        run = stream.buffer.find(first)
        if keys is None or run is None:
            return None
        if isinstance(request, GetKeys):
            return Keys(index=first, count=end - first, keys=keys)
        answer = Key(index=first, key=keys)
        if request.metadata_size and stream.metadata:
            age = self._clock() - run.available_at
            answer.metadata = metadata.describe(age, run.tail, request.metadata_size)
        return answer
