"""Calls that wait for a key, and what they are told when none came (rulings C2, C3, C5, C10, C12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from qkdbus.errors import Exhausted
from qkdbus.status import Status
from qkdbus.wire.keymanager_pb2 import GetKey, GetKeys, Key, Keys

from .delivery import Caller
from .links import UNKNOWN, Links
from .peers import Peers
from .ports import Tasks
from .stream import Stream

Answer = Key | Keys
MOST_WAITERS = 10_000  # per stream


def bounded(timeout: float, patience: float) -> float:
    """Return how long a call may wait: as agreed, but so that the caller still hears the answer."""
    return min(timeout, patience - min(1.0, 0.1 * patience)) if patience else timeout


@dataclass(slots=True, eq=False)
class Waiter:
    """A call that waits. `again` is the delivery [first, end) that it repeats, when it does."""

    stream: Stream
    request: GetKey | GetKeys
    caller: Caller | None
    number: int
    future: asyncio.Future[Answer]
    again: tuple[int, int] | None = None
    timer: asyncio.TimerHandle | None = None

    def failed(self, status: Status, reason: str) -> Answer:
        """Return the answer that gives no key."""
        kind = Key if isinstance(self.request, GetKey) else Keys
        answer = kind(status=status, reason=reason)
        if isinstance(self.request, GetKey) and self.request.HasField("index"):
            answer.index = self.request.index
        return answer


class Waiting:
    """All calls that wait. `serve` tries to answer one, `probe` asks whether the other end is there."""

    def __init__(self, serve: Callable[[Waiter], Answer | None], peers: Peers, links: Links, tasks: Tasks) -> None:
        self._serve, self._peers, self._links, self._tasks = serve, peers, links, tasks

    def add(self, waiter: Waiter, within: float) -> asyncio.Future[Answer]:
        """Let a call wait for `within` s; return the future of its answer."""
        stream, loop = waiter.stream, asyncio.get_running_loop()
        if len(stream.waiters) >= MOST_WAITERS:
            raise Exhausted(f"{MOST_WAITERS} calls wait for this stream")
        stream.waiters.append(waiter)
        if waiter.caller is not None:
            waiter.caller.pending[waiter.number] = waiter.future
        waiter.future.add_done_callback(lambda _future: self._remove(waiter))
        waiter.timer = loop.call_later(within, self._expire, waiter)
        self._peers.probe(stream)
        return waiter.future

    def retry(self, stream: Stream) -> None:
        """Something has come, or changed: try to answer everybody, first come first served."""
        for waiter in list(stream.waiters):
            if not waiter.future.done():
                answer = self._serve(waiter)
                if answer is not None:
                    waiter.future.set_result(answer)

    def end(self, stream: Stream, status: Status, reason: str) -> int:
        """Tell everybody that nothing will come; return how many were told."""
        told = 0
        for waiter in list(stream.waiters):
            if not waiter.future.done():
                waiter.future.set_result(waiter.failed(status, reason))
                told += 1
        return told

    def _remove(self, waiter: Waiter) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
        if waiter in waiter.stream.waiters:
            waiter.stream.waiters.remove(waiter)
        if waiter.caller is not None and waiter.caller.pending.get(waiter.number) is waiter.future:
            del waiter.caller.pending[waiter.number]
            future = waiter.future
            in_vain = not future.cancelled() and not future.exception() and future.result().status
            if in_vain and waiter.again is None:
                waiter.caller.waited_in_vain(waiter.number, future)

    def _expire(self, waiter: Waiter) -> None:
        waiter.timer = None
        self._tasks.spawn(self._tell(waiter))

    async def _tell(self, waiter: Waiter) -> None:
        status, reason = await self._why(waiter.stream)
        if not waiter.future.done():
            waiter.future.set_result(waiter.failed(status, reason))

    async def _why(self, stream: Stream) -> tuple[Status, str]:
        """Say why there is no key. The order matters: what nothing else can mend comes first."""
        if stream.objection:
            return Status.NO_QKD_CONNECTION, stream.objection
        if stream.draining_since:
            return Status.GET_KEY_FAILED_INSUFFICIENT_KEY, "the other application has closed, and no key is left"
        state, alarm = await self._links.state(stream.peer)
        if state in ("down", "alarm"):
            how = "in alarm" if state == "alarm" else state
            return Status.NO_QKD_CONNECTION, f"the link to {stream.peer} is {how}: {alarm}".rstrip(": ")
        if state == UNKNOWN:
            return Status.TIMEOUT_ERROR, "keysync of this node does not answer"
        if not stream.synced or self._peers.silent(stream.peer):
            return Status.TIMEOUT_ERROR, f"the key manager of {stream.peer} does not answer"
        if not stream.sid and not stream.peer_attached:
            return Status.GET_KEY_FAILED_PEER_NOT_CONNECTED, "the other application has not opened the stream"
        if state == "silent":
            return Status.TIMEOUT_ERROR, f"the keysync of {stream.peer} does not answer"
        if not stream.sid:
            return Status.TIMEOUT_ERROR, "the two ends are not synchronised yet"
        return Status.GET_KEY_FAILED_INSUFFICIENT_KEY, "not enough key yet"
