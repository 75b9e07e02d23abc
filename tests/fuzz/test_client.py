"""The client library and a server that means ill: a call ends in an answer that makes sense, or in an error of ours."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from benchmarks.fuzz.mutator import Mutator

from qkdbus.bus.frames import PROTOCOL
from qkdbus.contracts.keymanager import CONTRACT
from qkdbus.errors import QkdbusError
from qkdbus.wire import keymanager_pb2 as wire
from qkdbus.wire.head_pb2 import Head
from qkdbus_client import AsyncClient, Client, QoS, Status

FEW, MANY = 1500, 100_000
AT_ONCE = 250
KSID = b"k" * 16


class Server(threading.Thread):
    """Answers what it likes: some nonsense first, then something under the number of the call."""

    def __init__(self, endpoint: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._mutator, self._over = Mutator(seed), threading.Event()
        self._mutator.learn(ksid=[KSID], status=[0, 0, 0, 1, 2, 9], count=[1, 2, 4], key=[b"k" * 32], keys=[b"k" * 64])
        for real in (
            wire.Opened(ksid=KSID, qos=wire.QoS(key_chunk_size=32, timeout=100)),
            wire.Key(index=7, key=b"k" * 32, metadata=b'{"age": 1}'),
            wire.Keys(index=7, count=2, keys=b"k" * 64),
            wire.Streams(streams=[wire.StreamInfo(ksid=KSID, source="a@A")]),
        ):
            self._mutator.learn_from(real)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)
        self.said = 0

    def run(self) -> None:
        while not self._over.is_set():
            if self._socket.poll(50):
                self._answer(self._socket.recv_multipart())
        self._context.destroy(linger=0)

    def stop(self) -> None:
        self._over.set()
        self.join(10)

    def _answer(self, frames: list[bytes]) -> None:
        cut, mutator = frames.index(b"") + 1, self._mutator
        envelope, asked = frames[:cut], Head.FromString(frames[cut + 1])
        kind = CONTRACT.methods[asked.method].answer
        assert kind is not None
        for _ in range(mutator.dice.choice((0, 0, 0, 1, 3))):
            self._send([*envelope, *mutator.call(CONTRACT)[1:]])
        head = Head(call=asked.call)
        if mutator.dice.random() < 0.2:
            head.outcome = mutator.dice.choice((1, 2, 3, 4, 5, 77))  # type: ignore[assignment]
            head.reason = mutator.dice.choice(("", "\x1b[2J", "no " * 3000))
        self._send([*envelope, PROTOCOL, head.SerializeToString(), mutator.body(kind)])

    def _send(self, frames: list[bytes]) -> None:
        self._socket.send_multipart(frames)
        self.said += 1


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    endpoint = f"ipc://{tmp_path}/evil"
    server = Server(endpoint, 5)
    server.start()
    yield endpoint
    server.stop()


def sensible(answer: Any) -> str:
    """Return what kind of answer it is; fails when an application could take it for what it is not."""
    if isinstance(answer, list):
        assert all(isinstance(info.ksid.bytes, bytes) for info in answer)
    elif answer.status == Status.SUCCESSFUL:
        if hasattr(answer, "keys"):
            assert len(answer.keys) == answer.count > 0
            assert len(set(map(len, answer.keys))) == 1 and answer.keys[0]
        elif hasattr(answer, "key"):
            assert answer.key
        elif hasattr(answer, "qos"):
            assert answer.ksid is not None
    repr(answer)
    return type(answer).__name__


async def calls(endpoint: str, count: int) -> Counter[str]:
    ends: Counter[str] = Counter()
    async with AsyncClient.at(endpoint, patience=20.0) as client:
        for _ in range(0, count, AT_ONCE):
            asked = [_one(client, n) for n in range(AT_ONCE)]
            for told in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(told, BaseException):
                    assert isinstance(told, QkdbusError), repr(told)
                    ends[type(told).__name__] += 1
                else:
                    ends[sensible(told)] += 1
    return ends


def _one(client: AsyncClient, number: int) -> Any:
    if number % 6 == 0:
        return client.open_connect("a@A", "b@B", QoS(timeout=100))
    if number % 6 == 1:
        return client.get_keys(KSID, 4)
    if number % 6 == 2:
        return client.list_streams()
    if number % 6 == 3:
        return client.close(KSID)
    return client.get_key(KSID, number if number % 2 else None)


async def test_answers_that_make_no_sense_are_refused(endpoint: str) -> None:
    ends = await calls(endpoint, FEW)
    assert ends["Key"] > 50 and ends["Refused"] > 50 and ends["Opened"] > 20


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_thousand_answers_that_make_no_sense(endpoint: str) -> None:
    assert sum((await calls(endpoint, MANY)).values()) == MANY


def test_the_plain_client_has_the_same_patience(endpoint: str) -> None:
    ends: Counter[str] = Counter()
    with Client.at(endpoint, patience=20.0) as client:
        for number in range(60):
            try:
                ends[sensible(client.get_keys(KSID, 2) if number % 2 else client.get_key(KSID))] += 1
            except QkdbusError as error:
                ends[type(error).__name__] += 1
    assert ends["Refused"] and ends["Key"]


def test_a_timeout_of_many_days_can_be_waited_for(endpoint: str) -> None:
    """49 days and a margin do not fit a head's 32 bits of milliseconds."""
    with Client.at(endpoint) as client:
        for _ in range(10):
            try:
                client.open_connect("a@A", "b@B", QoS(timeout=2**32 - 1))
            except QkdbusError:
                continue
