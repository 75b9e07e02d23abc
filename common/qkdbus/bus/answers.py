"""What a server answers: gathered while it carries out what came together, sent once all of it is durable.

`flush` calls the layer's `commit` first, so durable writes of one drain share one transaction, and nothing is answered
that is not durable. An answer that may be asked for again is remembered at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import zmq
from google.protobuf.message import Message

from ..contracts.call import Call
from ..contracts.contract import Contract, Method
from ..errors import QkdbusError
from ..meters import Histogram
from ..wire.head_pb2 import FAILED, REFUSED, Head, Outcome
from .frames import NotOurs, outcome_of, reason_of, send
from .memory import Memory
from .witness import Told, Witness, explain

Handler = Callable[[Message, Call], "Message | Awaitable[Message] | None"]
Frames = tuple[bytes, bytes]  # head, body


@dataclass(slots=True, frozen=True)
class Served:
    """A method of the contract, and what carries it out."""

    name: str
    method: Method
    handler: Handler
    latency: Histogram


@dataclass(slots=True, eq=False)
class Reply:
    """Where an answer goes, and how to find its call again."""

    envelope: list[bytes]
    call: Call
    remember: bool
    served: Served | None = None
    since: float = 0.0  # when the server woke up for it
    told: Message | None = None  # the request, when somebody wants to hear of the call


class Answers:
    """The outgoing half of a server.

    Args:
        sent: hears how many octets went to a connection, given by its routing id.
        commit, fatal, target, witness: as the server's.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        contract: Contract,
        target: object,
        *,
        memory: Memory,
        witness: Witness,
        log: logging.Logger,
        counters: Counter[str],
        clock: Callable[[], float],
        fatal: Callable[[BaseException], None],
        commit: Callable[[], None] | None,
        sent: Callable[[bytes, int], None] | None,
    ) -> None:
        self._socket, self._layer, self._target = socket, contract.name, target
        self._memory, self._witness, self._log = memory, witness, log
        self._counters, self._clock = counters, clock
        self._fatal, self._commit, self._sent = fatal, commit, sent
        self._outbox: list[tuple[Reply, Frames]] = []
        self._fine = Head()  # of an answer: only its number changes

    def give(self, reply: Reply, answer: Message) -> None:
        """Answer with what a method returned."""
        call = reply.call
        if reply.told is not None:
            self._tell(reply, "ok", answer)
        self._fine.call = call.number
        frames = (self._fine.SerializeToString(), answer.SerializeToString())
        if reply.remember:  # now, not when it is sent: a repeat may come in the same drain
            self._memory.keep((call.user, call.caller), call.number, frames)
        self._outbox.append((reply, frames))

    def again(self, reply: Reply, frames: Frames) -> None:
        """Give the answer that was given before."""
        self._outbox.append((reply, frames))

    def refuse(self, reply: Reply, error: QkdbusError) -> None:
        """Answer with an error's outcome and reason."""
        outcome = outcome_of(error)
        said = Outcome.Name(outcome).lower()
        self._count_refusal(said)
        self._refuse(reply, said, Head(call=reply.call.number, outcome=outcome, reason=reason_of(error)))

    def fault(self, name: str, error: Exception, reply: Reply) -> None:
        """Answer that the layer itself is at fault, and log it."""
        self._note(name, error)
        reason = f"{name}: {type(error).__name__} in {self._layer}; see its log"
        self._refuse(reply, "failed", Head(call=reply.call.number, outcome=FAILED, reason=reason))

    def malformed(self, error: Exception) -> None:
        """Answer at once what is no message of ours, if it says where to."""
        self._count_refusal("malformed")
        if isinstance(error, NotOurs):
            self.send(error.envelope, (Head(outcome=REFUSED, reason=str(error)).SerializeToString(), b""))

    def flush(self) -> None:
        """Commit, and send all answers."""
        try:
            if self._commit is not None:
                self._commit()
        except Exception as error:
            self._outbox.clear()
            self._fatal(error)
            return
        outbox, self._outbox = self._outbox, []
        alike: Reply | None = None  # answers of one method that came together count in one step
        times, now = 0, self._clock() if outbox else 0.0
        for reply, answer in outbox:
            call = reply.call
            if alike is not None and reply.served is alike.served and reply.since == alike.since:
                times += 1
            else:
                _count(alike, now, times)
                alike, times = reply, 1
            if call.number or not call.caller:
                self.send(reply.envelope, answer)
        _count(alike, now, times)

    def send(self, envelope: list[bytes], answer: Frames) -> None:
        """Send an answer, if its caller can take it."""
        try:
            send(self._socket, envelope, *answer)
            if self._sent is not None:
                self._sent(envelope[0], len(answer[1]))
        except zmq.ZMQError:  # the caller has gone, or does not read: it will ask again
            self._counters["unsent"] += 1

    def _refuse(self, reply: Reply, said: str, head: Head) -> None:
        if reply.told is not None:
            self._tell(reply, said, None)
        self._outbox.append((reply, (head.SerializeToString(), b"")))

    def _count_refusal(self, why: str) -> None:
        self._counters["refused"] += 1
        self._counters[f"refusals{{outcome={why}}}"] += 1

    def _tell(self, reply: Reply, outcome: str, answer: Message | None) -> None:
        served, request, took = reply.served, reply.told, self._clock() - reply.since
        assert served is not None
        assert request is not None
        try:
            notes = explain(self._target, served.name, request, answer)
            self._witness.called(Told(self._layer, served.name, served.method, reply.call, outcome, took, notes))
        except Exception as error:  # what is told of a call must not harm it
            self._note(served.name, error)

    def _note(self, name: str, error: Exception) -> None:
        self._counters["faults"] += 1
        self._log.error("fault", extra={"method": name, "kind": type(error).__name__}, exc_info=error)


def _count(reply: Reply | None, now: float, times: int) -> None:
    if reply is not None and reply.served is not None:
        reply.served.latency.observe(now - reply.since, times)
