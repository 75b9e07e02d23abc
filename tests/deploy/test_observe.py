"""Waiting for services over sockets: what is said of one that never becomes ready."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from qkdbus.bus.frames import PROTOCOL
from qkdbus.wire.head_pb2 import Head, Health
from qkdbus_deploy.observe import ROUND, wait_ready

Answering = Callable[[int], str]


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Answering]:
    """Start a service that is waiting for a fibre; it says so to its first pings and then is silent."""
    ended = threading.Event()
    threads = []

    def start(pings: int) -> str:
        endpoint = f"ipc://{tmp_path}/{pings}"
        threads.append(threading.Thread(target=_serve, args=(endpoint, pings, ended)))
        threads[-1].start()
        return endpoint

    yield start
    ended.set()
    for thread in threads:
        thread.join()


def _serve(endpoint: str, pings: int, ended: threading.Event) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        socket.bind(endpoint)
        while not ended.is_set():
            if not socket.poll(20):
                continue
            who, *_ = socket.recv_multipart()
            if pings > 0:
                pings -= 1
                health = Health(ready=False, waiting_for="a fibre")
                socket.send_multipart(
                    [who, b"", PROTOCOL, Head(call=1).SerializeToString(), health.SerializeToString()]
                )


def test_silence_in_a_last_round_cut_short_leaves_the_reason_as_it_was(answering: Answering) -> None:
    assert wait_ready({"keysync": answering(1)}, 0.8 * ROUND) == {"keysync": "waits for a fibre"}


def test_silence_for_a_whole_round_is_told(answering: Answering) -> None:
    assert wait_ready({"keysync": answering(1)}, 1.5 * ROUND) == {"keysync": "no answer"}


def test_one_that_never_answers_is_told(answering: Answering) -> None:
    assert wait_ready({"keysync": answering(0)}, 0.2 * ROUND) == {"keysync": "no answer"}
