"""A plain caller whose answers come late."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import zmq

from qkdbus.bus.caller import Caller
from qkdbus.contracts.contract import Contract
from qkdbus.wire.head_pb2 import Event


def test_an_answer_to_an_earlier_try_does_not_keep_a_caller_for_ever(tmp_path: Path, echo_contract: Contract) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    server = context.socket(zmq.ROUTER)
    server.bind(f"ipc://{tmp_path}/late")
    caller = Caller(context, f"ipc://{tmp_path}/late", echo_contract, os.urandom(16))
    heard: list[object] = []
    thread = threading.Thread(
        target=lambda: heard.append(caller.ask("echo", Event(name="x"), patience=10.0)), daemon=True
    )
    thread.start()
    tries = [server.recv_multipart() for _ in range(2)]
    server.send_multipart(tries[0])  # to the first try, when the second is on its way
    assert server.poll(8_000), "the caller does not try again"
    server.send_multipart(server.recv_multipart())
    thread.join(5)
    assert not thread.is_alive()
    assert heard == [Event(name="x")]
    caller.close()
    context.destroy(linger=0)
