"""Asking many services at once, from one thread: are you ready, what are your links, which streams have you."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import zmq
from google.protobuf.message import DecodeError, Message

from qkdbus.bus.frames import PROTOCOL, raise_for, split
from qkdbus.contracts.contract import Contract
from qkdbus.errors import QkdbusError, Refused, Silent
from qkdbus.wire.head_pb2 import Head, Health, Ping

ANY = Contract("any layer", {})  # every contract has ping and describe
ROUND = 0.5  # s that a service has to answer whether it is ready
AT_ONCE = 200  # sockets: about three file numbers each
Who = TypeVar("Who", bound=Hashable)


@dataclass(frozen=True)
class Question(Generic[Who]):
    """One call to one service."""

    who: Who
    endpoint: str
    contract: Contract
    method: str
    request: Message


def ask_many(
    questions: Sequence[Question[Who]], patience: float = 1.0, most: int = AT_ONCE
) -> Iterator[tuple[Who, Message | QkdbusError]]:
    """Ask all, in groups of `most` at a time, and yield each answer as it comes.

    An answer is the method's message, or the error that the service gave; Silent after `patience` s.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    _allow_files(4 * most)
    try:
        for start in range(0, len(questions), most):
            yield from _ask(context, questions[start : start + most], patience)
    finally:
        context.destroy(linger=0)


def ping(services: dict[Who, str], patience: float = 1.0) -> Iterator[tuple[Who, Health | QkdbusError]]:
    """Ping services, given by their endpoints."""
    for who, answer in ask_many([Question(w, e, ANY, "ping", Ping()) for w, e in services.items()], patience):
        assert isinstance(answer, Health | QkdbusError)
        yield who, answer


def wait_ready(
    services: dict[Who, str],
    patience: float,
    on_ready: Callable[[Who], None] = lambda who: None,
    hopeless: Callable[[], bool] = lambda: False,
) -> dict[Who, str]:
    """Ping until every service is ready; return those that are not when `patience` s are over, and why.

    `hopeless` is asked now and then; it ends the wait early. The last round may be cut short: a service that is silent
    in that one keeps the reason that it gave before.
    """
    reasons = dict.fromkeys(services, "no answer")
    ends = time.monotonic() + patience
    while reasons and (left := ends - time.monotonic()) > 0 and not hopeless():
        for who, health in ping({who: services[who] for who in reasons}, min(ROUND, left)):
            if isinstance(health, Health) and health.ready:
                del reasons[who]
                on_ready(who)
            elif isinstance(health, Health):
                reasons[who] = f"waits for {health.waiting_for}"
            elif not isinstance(health, Silent):
                reasons[who] = str(health)
            elif left >= ROUND:
                reasons[who] = "no answer"
        time.sleep(0.01)
    return reasons


def _ask(
    context: zmq.Context[zmq.Socket[bytes]], questions: Sequence[Question[Who]], patience: float
) -> Iterator[tuple[Who, Message | QkdbusError]]:
    poller = zmq.Poller()
    asked = {}
    for question in questions:
        socket = _send(context, question, patience)
        poller.register(socket, zmq.POLLIN)
        asked[socket] = question
    ends = time.monotonic() + patience
    while asked and (left := ends - time.monotonic()) > 0:
        for socket, _ in poller.poll(int(left * 1e3) + 1):
            question = asked.pop(socket)
            poller.unregister(socket)
            yield question.who, _read(question, socket.recv_multipart())
            socket.close()
    for socket, question in asked.items():
        socket.close()
        silent = Silent(f"{question.contract.name}.{question.method}: no answer in {patience:g} s")
        yield question.who, silent


def _send(context: zmq.Context[zmq.Socket[bytes]], question: Question[Who], patience: float) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 10)  # a service that starts now is heard now
    socket.connect(question.endpoint)
    head = Head(
        method=question.method,
        caller=os.urandom(16),
        call=1,
        settled=1,
        patience_ms=int(patience * 1e3),
    )
    socket.send_multipart([b"", PROTOCOL, head.SerializeToString(), question.request.SerializeToString()])
    return socket


def _read(question: Question[Who], frames: list[bytes]) -> Message | QkdbusError:
    what = f"{question.contract.name}.{question.method}"
    kind = question.contract.methods[question.method].answer
    assert kind is not None
    try:
        _, head, body = split(frames)
        raise_for(head, what)
        return kind.FromString(body)
    except DecodeError:
        return Refused(f"{what}: unreadable answer")
    except QkdbusError as error:
        return error


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number + 100 and soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(number + 100, hard), hard))
