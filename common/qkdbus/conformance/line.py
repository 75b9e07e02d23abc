"""A caller that says exactly what a check wants: any frames, any call number, the same call twice.

Like every caller of the bus it sends a call again, under its own number, until it is answered.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import zmq
from google.protobuf.message import DecodeError, Message

from ..bus.curve import KeyPair, secure_client
from ..bus.frames import PROTOCOL, split
from ..bus.pump import Pump
from ..bus.sockets import dealer
from ..errors import QkdbusError
from ..wire.head_pb2 import OK, Head, Outcome
from . import waiting
from .check import Breach

AGAIN = 1.0  # s until a call is sent once more
NEXT_TRY = 0.02  # s while there is no connection yet
Kind = TypeVar("Kind", bound=Message)
Context = zmq.Context[zmq.Socket[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the body may hold key bits and is not shown."""

    method: str
    head: Head
    body: bytes = field(repr=False)

    def read(self, kind: type[Kind]) -> Kind:
        """Return the body of an answer that must be one. Breach when it is a refusal, or something else."""
        expected = f"{self.method} is answered with {kind.DESCRIPTOR.name}"
        if self.head.outcome != OK:
            raise Breach(expected, self.words)
        try:
            return kind.FromString(self.body)
        except DecodeError:
            raise Breach(expected, "a body that cannot be read as that") from None

    @property
    def words(self) -> str:
        """The outcome and its reason."""
        try:
            name = Outcome.Name(self.head.outcome)
        except ValueError:
            name = f"the outcome {self.head.outcome}, which the bus does not have"
        return f"{name}: {self.head.reason}".rstrip(": ")


class Line:
    """A DEALER to one endpoint, with one caller id. Make it inside a running loop."""

    def __init__(
        self, context: Context, endpoint: str, *, pair: KeyPair | None = None, server_key: str = "", caller: bytes = b""
    ) -> None:
        self.caller = caller or os.urandom(16)
        self.number = 0
        self._waiting: dict[int, asyncio.Future[tuple[Head, bytes]]] = {}
        self._others: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self._socket = dealer(context)
        if pair is not None:
            secure_client(self._socket, pair, server_key)
        self._socket.connect(endpoint)
        self._pump = Pump(self._socket, self._drain)

    async def ask(
        self,
        method: str,
        request: Message | bytes,
        *,
        number: int | None = None,
        settled: int | None = None,
        patience: float = 0.0,
        trace: bytes = b"",
    ) -> Answer:
        """Call once; `number`: under this one (again). Breach when nobody answers within `patience` s (WITHIN)."""
        patience = patience or waiting.WITHIN
        if number is None:
            self.number += 1
            number = self.number
        head = Head(
            method=method,
            caller=self.caller,
            call=number,
            settled=number if settled is None else settled,
            patience_ms=int(patience * 1e3),
            trace=trace,
        )
        body = request if isinstance(request, bytes) else request.SerializeToString()
        answered = self._waiting.get(number)
        if answered is None:
            answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            return Answer(
                method, *await self._until(answered, [b"", PROTOCOL, head.SerializeToString(), body], patience)
            )
        except TimeoutError:
            raise Breach(f"{method} is answered", f"no answer in {patience:g} s") from None
        finally:
            self._waiting.pop(number, None)

    async def say(self, *frames: bytes, within: float = 0.0) -> None:
        """Send these frames as they are, once. Breach when there is no connection within so many s."""
        within = within or waiting.WITHIN
        ends = time.monotonic() + within
        while not self._send(frames):
            if time.monotonic() > ends:
                raise Breach("a connection", f"none in {within:g} s")
            await asyncio.sleep(NEXT_TRY)

    async def hear(self, within: float) -> tuple[Head, bytes] | None:
        """Return the next message that answers no call of `ask`; None when there is none within so many s."""
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        _, head, body = split(await self._others.get())
                        return head, body
                    except QkdbusError:
                        continue
        except TimeoutError:
            return None

    def close(self) -> None:
        """Close the socket."""
        self._pump.close()
        self._socket.close(linger=0)

    async def _until(
        self, answered: asyncio.Future[tuple[Head, bytes]], frames: Sequence[bytes], patience: float
    ) -> tuple[Head, bytes]:
        async with asyncio.timeout(patience):
            while True:
                pause = AGAIN if self._send(frames) else NEXT_TRY
                done, _ = await asyncio.wait({answered}, timeout=pause)
                if done:
                    return answered.result()

    def _send(self, frames: Sequence[bytes]) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._pump.nudge()
        return True

    def _drain(self, most: int) -> bool:
        for _ in range(most):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            try:
                _, head, body = split(frames)
            except QkdbusError:
                self._others.put_nowait(frames)
                continue
            asked = self._waiting.get(head.call)
            if asked is not None and not asked.done():
                asked.set_result((head, body))
            else:
                self._others.put_nowait(frames)
        return True
