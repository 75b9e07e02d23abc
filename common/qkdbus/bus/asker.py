"""Asking a layer from an asyncio program: many calls in flight over one DEALER.

A call is sent again, under its own number, until it is answered or its patience ends; the server knows repeats.
So a lost answer or a restarted server costs time, never a second execution.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import zmq
from google.protobuf.message import DecodeError, Message

from ..contracts.contract import Contract
from ..errors import QkdbusError, Refused, Silent
from ..trace import CURRENT
from ..wire.head_pb2 import Head
from .curve import KeyPair, Renewed
from .frames import on_the_wire, raise_for, receive, split
from .line import Line
from .notices import DELIMITER, Notices
from .sockets import LAST_WORDS_MS

FIRST_REPEAT = 0.2  # s until a call is sent again; doubles up to LAST_REPEAT
LAST_REPEAT = 2.0


@dataclass(slots=True)
class _Waiting:
    method: str
    body: bytes
    answer_type: type[Message]
    answered: asyncio.Future[Message]
    head: Head
    ends: float
    repeat_at: float
    repeat_after: float = FIRST_REPEAT
    sent: bool = False


class Asker:
    """A caller of one endpoint. Make it inside a running loop; `close()` when done."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        contract: Contract,
        caller: bytes,
        *,
        pair: KeyPair | None = None,
        server_key: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._contract, self._caller, self._endpoint = contract, caller, endpoint
        self._monotonic = monotonic
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._line = Line(context, endpoint, self._drain, pair, server_key)
        self._notices = Notices(self._line, monotonic)
        self.renewed: Renewed | None = None  # asked before calls, and while they wait

    @property
    def waiting(self) -> int:
        """Calls without an answer yet."""
        return len(self._waiting)

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        """Call `method` and return its answer.

        `patience` in s (the contract's when None); an empty `trace` is that of the work under way. Raises
        qkdbus.errors: Silent when nobody answered in time.
        """
        how = self._contract.methods[method]
        if how.answer is None:
            raise Refused(f"{self._contract.name}.{method} is a notice: tell it")
        patience = how.patience_ms / 1e3 if patience is None else patience
        if self.renewed is not None:
            self._renew(self.renewed)
        self._number += 1
        number, now, trace = self._number, self._monotonic(), trace or CURRENT.get()
        head = Head(method=method, caller=self._caller, call=number, patience_ms=on_the_wire(patience), trace=trace)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(
            method, request.SerializeToString(), how.answer, future, head, now + patience, now + FIRST_REPEAT
        )
        self._waiting[number] = waiting
        self._send(waiting)
        self._schedule()
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    def tell(self, method: str, request: Message) -> None:
        """Send a notice. Nobody answers; it is dropped when the peer is not connected within a second."""
        self._notices.send(Head(method=method).SerializeToString(), request.SerializeToString())

    def redial(self, pair: KeyPair, server_key: str) -> None:
        """Go on over a connection with these keys, as soon as there is one."""
        self._line.redial(pair, server_key)

    def hang_up(self) -> None:
        """Talk to nobody until the next `redial`: calls end as Silent, notices are dropped."""
        self._line.hang_up()

    def leave(self, method: str, request: Message) -> None:
        """Close, and say before that no answer is waited for: with a last call, whose answer nobody awaits either."""
        if self._number:
            last = self._number + 1
            head = Head(method=method, caller=self._caller, call=last, settled=last)
            with suppress(zmq.Again):
                self._line.send(DELIMITER, head.SerializeToString(), request.SerializeToString())
        self.close(linger=LAST_WORDS_MS)

    def close(self, linger: int = 0) -> None:
        """Close the socket; calls still waiting end as Silent. `linger`: ms that what was said has to leave."""
        if self._timer is not None:
            self._timer.cancel()
        self._notices.close()
        self._line.close(linger)
        for waiting in self._waiting.values():
            if not waiting.answered.done():
                waiting.answered.set_exception(Silent(f"{self._contract.name}.{waiting.method}: closed"))

    def _renew(self, renewed: Renewed) -> None:
        if keys := renewed():
            self._line.redial(*keys)

    def _send(self, waiting: _Waiting) -> None:
        waiting.head.settled = min(self._waiting)
        self._notices.hurry()
        try:
            self._line.send(DELIMITER, waiting.head.SerializeToString(), waiting.body)
        except zmq.Again:  # not connected: the timer tries again soon
            waiting.repeat_after = FIRST_REPEAT / 4
            waiting.repeat_at = self._monotonic() + waiting.repeat_after

    def _schedule(self) -> None:
        if self._timer is None and self._waiting:
            soonest = min(min(w.repeat_at, w.ends) for w in self._waiting.values())
            delay = max(0.005, soonest - self._monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.renewed is not None:
            self._renew(self.renewed)
        now = self._monotonic()
        for waiting in list(self._waiting.values()):
            if waiting.answered.done():
                continue
            if now >= waiting.ends:
                what = f"{self._contract.name}.{waiting.method}"
                waiting.answered.set_exception(Silent(f"{what}: no answer from {self._endpoint}"))
            elif now >= waiting.repeat_at:
                waiting.repeat_after = min(2 * waiting.repeat_after, LAST_REPEAT)
                waiting.repeat_at = now + waiting.repeat_after
                self._send(waiting)
        self._schedule()

    def _drain(self, socket: zmq.Socket[bytes], most: int) -> bool:
        for _ in range(most):
            try:
                _, frames = receive(socket)
            except zmq.Again:
                return False
            try:
                _, head, body = split(frames)
            except QkdbusError:
                continue
            waiting = self._waiting.get(head.call)
            if waiting is not None and not waiting.answered.done():
                self._settle(waiting, head, body)
        return True

    def _settle(self, waiting: _Waiting, head: Head, body: bytes) -> None:
        try:
            raise_for(head, f"{self._contract.name}.{waiting.method}")
            waiting.answered.set_result(waiting.answer_type.FromString(body))
        except (QkdbusError, DecodeError) as error:
            waiting.answered.set_exception(error if isinstance(error, QkdbusError) else Refused("unreadable answer"))
