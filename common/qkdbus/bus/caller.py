"""Asking a layer from a plain program: one REQ socket, one call at a time, with patience."""

from __future__ import annotations

import time
from contextlib import suppress

import zmq
from google.protobuf.message import DecodeError, Message

from ..contracts.contract import Contract
from ..errors import Refused, Silent
from ..wire.head_pb2 import Head
from .curve import KeyPair, Renewed, secure_client
from .frames import PROTOCOL, on_the_wire, raise_for, split
from .sockets import LAST_WORDS_MS, requester

FIRST_REPEAT = 0.5  # s until a call is sent again, under its own number; doubles up to LAST_REPEAT
LAST_REPEAT = 4.0


class Caller:
    """A caller of one endpoint, not to be shared between threads."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        contract: Contract,
        caller: bytes,
        *,
        pair: KeyPair | None = None,
        server_key: str = "",
    ) -> None:
        self._contract, self._caller, self._endpoint = contract, caller, endpoint
        self._number, self._context = 0, context
        self.renewed: Renewed | None = None  # asked before each try
        self._socket = self._dialled(pair, server_key)

    def ask(self, method: str, request: Message, *, patience: float | None = None, trace: bytes = b"") -> Message:
        """Call `method` and return its answer; `patience` in s. Raises qkdbus.errors (Silent: nobody answered)."""
        how = self._contract.methods[method]
        if how.answer is None:
            raise Refused(f"{self._contract.name}.{method} is a notice")
        patience = how.patience_ms / 1e3 if patience is None else patience
        self._number += 1
        head = Head(
            method=method,
            caller=self._caller,
            call=self._number,
            settled=self._number,
            patience_ms=on_the_wire(patience),
            trace=trace,
        )
        frames = [PROTOCOL, head.SerializeToString(), request.SerializeToString()]
        what, ends, repeat = f"{self._contract.name}.{method}", time.monotonic() + patience, FIRST_REPEAT
        while (left := ends - time.monotonic()) > 0:
            if self.renewed is not None and (keys := self.renewed()):
                self._socket.close(linger=0)
                self._socket = self._dialled(*keys)
            answer = self._once(frames, min(repeat, left))
            repeat = min(2 * repeat, LAST_REPEAT)
            if answer is not None:
                return self._read(answer, how.answer, what)
        raise Silent(f"{what}: no answer from {self._endpoint} in {patience:g} s")

    def leave(self, method: str, request: Message) -> None:
        """Close, and say before that no answer is waited for: with a last call, whose answer nobody awaits either."""
        if self._number and not self._socket.closed:
            last = self._number + 1
            head = Head(method=method, caller=self._caller, call=last, settled=last)
            frames = [PROTOCOL, head.SerializeToString(), request.SerializeToString()]
            with suppress(zmq.Again):
                self._socket.send_multipart(frames, zmq.NOBLOCK)
        self._socket.close(linger=LAST_WORDS_MS)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(linger=0)

    def _dialled(self, pair: KeyPair | None, server_key: str) -> zmq.Socket[bytes]:
        socket = requester(self._context)
        if server_key:
            assert pair is not None, "CURVE needs the caller's own key pair"
            secure_client(socket, pair, server_key)
        socket.connect(self._endpoint)
        return socket

    def _once(self, frames: list[bytes], wait: float) -> list[bytes] | None:
        ends = time.monotonic() + wait
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:  # no connection can take it
            time.sleep(min(0.02, wait))
            return None
        while (left := ends - time.monotonic()) > 0:
            if self._socket.poll(int(left * 1e3) + 1):
                try:
                    return [b"", *self._socket.recv_multipart(zmq.NOBLOCK)]
                except zmq.Again:  # what came was an answer to an earlier try, which REQ_CORRELATE throws away
                    continue
        return None

    def _read(self, frames: list[bytes], kind: type[Message], what: str) -> Message:
        try:
            _, head, body = split(frames)
            raise_for(head, what)
            return kind.FromString(body)
        except DecodeError:
            raise Refused(f"{what}: unreadable answer") from None
