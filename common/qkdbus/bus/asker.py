"""Asking a layer from an asyncio program: many calls in flight over one DEALER.

A call is sent again, under its own number, until it is answered or its patience ends; the server knows repeats.
So a lost answer or a restarted server costs time, never a second execution.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq
from google.protobuf.message import DecodeError, Message

from ..contracts.contract import Contract
from ..errors import QkdbusError, Refused, Silent
from ..wire.head_pb2 import Head
from .curve import KeyPair, secure_client
from .frames import PROTOCOL, raise_for, receive, send, split
from .notices import Notices
from .pump import Pump
from .sockets import dealer

FIRST_REPEAT = 0.2  # s until a call is sent again; doubles up to LAST_REPEAT
LAST_REPEAT = 2.0
_DELIMITER = (b"",)


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
        self._socket = dealer(context)
        if server_key:
            assert pair is not None, "CURVE needs the caller's own key pair"
            secure_client(self._socket, pair, server_key)
        self._socket.connect(endpoint)
        self._pump = Pump(self._socket, self._drain)
        self._notices = Notices(self._socket, self._pump.nudge, monotonic)

    async def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        """Call `method` and return its answer.

        `patience` in s (the contract's when None). Raises qkdbus.errors: Silent when nobody answered in time.
        """
        how = self._contract.methods[method]
        if how.answer is None:
            raise Refused(f"{self._contract.name}.{method} is a notice: tell it")
        patience = how.patience_ms / 1e3 if patience is None else patience
        self._number += 1
        number, now = self._number, self._monotonic()
        head = Head(method=method, caller=self._caller, call=number, patience_ms=int(patience * 1e3), trace=trace)
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
        self._notices.send([b"", PROTOCOL, Head(method=method).SerializeToString(), request.SerializeToString()])

    def close(self) -> None:
        """Close the socket; calls still waiting end as Silent."""
        if self._timer is not None:
            self._timer.cancel()
        self._notices.close()
        self._pump.close()
        self._socket.close(linger=0)
        for waiting in self._waiting.values():
            if not waiting.answered.done():
                waiting.answered.set_exception(Silent(f"{self._contract.name}.{waiting.method}: closed"))

    def _send(self, waiting: _Waiting) -> None:
        waiting.head.settled = min(self._waiting)
        self._notices.hurry()
        try:
            send(self._socket, _DELIMITER, waiting.head.SerializeToString(), waiting.body)
        except zmq.Again:  # not connected: the timer tries again soon
            waiting.repeat_after = FIRST_REPEAT / 4
            waiting.repeat_at = self._monotonic() + waiting.repeat_after
        else:
            self._pump.nudge()

    def _schedule(self) -> None:
        if self._timer is None and self._waiting:
            soonest = min(min(w.repeat_at, w.ends) for w in self._waiting.values())
            delay = max(0.005, soonest - self._monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
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

    def _drain(self, most: int) -> bool:
        for _ in range(most):
            try:
                _, frames = receive(self._socket)
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
