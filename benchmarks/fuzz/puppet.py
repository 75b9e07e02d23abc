"""A neighbour that is let in with its real keys and means ill: it hears what is said to it, and answers as it likes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

import zmq
from google.protobuf.message import DecodeError, Message

from qkdbus.bus.curve import KeyPair
from qkdbus.bus.frames import PROTOCOL
from qkdbus.contracts.contract import Contract
from qkdbus.wire.head_pb2 import EXHAUSTED, FAILED, REFUSED, UNAUTHORISED, UNAVAILABLE, Head

from .mutator import Mutator

ANSWERED = 0.7  # share of the calls; the others hear nothing


class Puppet(threading.Thread):
    """Listens at the doors of a node whose services are stopped.

    Attributes:
        heard: what honest neighbours said, oldest first.
    """

    def __init__(self, pair: KeyPair, doors: Mapping[str, Contract], seed: int) -> None:
        super().__init__(daemon=True)
        self.heard: deque[Message] = deque(maxlen=2000)
        self._mutator = Mutator(seed)
        self._over = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._doors: dict[zmq.Socket[bytes], Contract] = {}
        for endpoint, contract in doors.items():
            socket = self._context.socket(zmq.ROUTER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())
            socket.bind(endpoint)
            self._doors[socket] = contract

    def teach(self, mutator: Mutator) -> None:
        """Let a mutator know what was heard since the last time."""
        while self.heard:
            mutator.learn_from(self.heard.popleft())

    def run(self) -> None:
        """Listen until `stop`."""
        poller = zmq.Poller()
        for socket in self._doors:
            poller.register(socket, zmq.POLLIN)
        while not self._over.is_set():
            for socket, _ in poller.poll(100):
                for _ in range(100):
                    try:
                        frames = socket.recv_multipart(zmq.NOBLOCK)
                    except zmq.Again:
                        break
                    self._take(socket, frames)
        self._context.destroy(linger=0)

    def stop(self) -> None:
        """Fall silent."""
        self._over.set()
        self.join(10)

    def _take(self, socket: zmq.Socket[bytes], frames: list[bytes]) -> None:
        try:
            envelope, (_, packed, body) = frames[:-3], frames[-3:]
            head = Head.FromString(packed)
            method = self._doors[socket].methods[head.method]
            request = method.request.FromString(body)
        except (ValueError, KeyError, DecodeError):
            return
        self.heard.append(request)
        self._mutator.learn_from(request)
        if method.answer is not None and self._mutator.dice.random() < ANSWERED:
            self._socket_send(socket, [*envelope, PROTOCOL, self._head(head), self._mutator.body(method.answer)])

    def _head(self, asked: Head) -> bytes:
        dice = self._mutator.dice
        answer = Head(call=asked.call)
        if dice.random() < 0.2:
            answer.outcome = dice.choice((REFUSED, UNAUTHORISED, EXHAUSTED, UNAVAILABLE, FAILED))
            answer.reason = "\x1b[2J" + "no" * dice.choice((1, 3000))
        return answer.SerializeToString()

    def _socket_send(self, socket: zmq.Socket[bytes], frames: list[bytes]) -> None:
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:  # hung up
            return
