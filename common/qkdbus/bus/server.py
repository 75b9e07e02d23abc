"""The server of a layer: ROUTER sockets in front of plain objects.

It drains many messages per wake-up, calls the layer's `commit` once, and sends the answers only then: durable
writes of one drain share one transaction, and nothing is answered that is not durable. What a method raises
becomes the answer's outcome. This is the one place that catches everything (`_carry_out`, `_answer`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import zmq
from google.protobuf.message import DecodeError, Message

from ..contracts.call import OPERATOR, Call
from ..contracts.contract import Contract, Method
from ..errors import Failed, QkdbusError, Refused, Unauthorised
from ..wire.head_pb2 import FAILED, REFUSED, Head
from .curve import SENDER
from .frames import NotOurs, outcome_of, receive, send, split
from .memory import Memory
from .pump import Pump

Handler = Callable[[Message, Call], "Message | Awaitable[Message] | None"]
Running = tuple[str, bytes, int]
Frames = tuple[bytes, bytes]  # head, body
NOBODY = ""  # the user behind a connection whose credential is not known any more


@dataclass(slots=True, frozen=True)
class _Served:
    """A method of the contract, and what carries it out."""

    name: str
    method: Method
    handler: Handler


@dataclass(slots=True, eq=False)
class _Reply:
    """Where an answer goes, and how to find its call again."""

    envelope: list[bytes]
    call: Call
    remember: bool


class Server:
    """One ROUTER socket, one contract, one target.

    Attributes:
        socket: bound by the owner; closed here.
        secured: the socket is CURVE: who is behind a message is in its metadata, else it is the OPERATOR.
        commit: called before answers go out; an exception from it is fatal (`fatal` is called).
        still: asked of each message of a secured socket: is this user still let in with this key (Z85)?
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        contract: Contract,
        target: object,
        *,
        secured: bool,
        log: logging.Logger,
        counters: Counter[str],
        clock: Callable[[], float],
        fatal: Callable[[BaseException], None],
        commit: Callable[[], None] | None = None,
        still: Callable[[str, str], bool] | None = None,
    ) -> None:
        self._still = still
        self._socket, self._contract, self._secured = socket, contract, secured
        self._log, self._counters, self._fatal = log, counters, fatal
        self._commit = commit
        self._served = _bind(contract, target)
        self._memory = Memory(clock)
        self._running: dict[Running, _Reply] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: list[tuple[_Reply, Frames]] = []
        self._flushing = False
        self._fine = Head()  # of an answer: only its number changes
        self._pump = Pump(socket, self._drain)

    @property
    def busy(self) -> int:
        """Calls that are still being carried out."""
        return len(self._running)

    def tidy(self) -> None:
        """Forget what nobody will ask for again. Called by a slow timer."""
        self._memory.tidy()

    def close(self) -> None:
        """Stop serving. Calls that run are cancelled."""
        self._pump.close()
        for task in self._tasks:
            task.cancel()
        self._socket.close(linger=200)

    # -- in
    def _drain(self, most: int) -> bool:
        left, secured, still, socket = True, self._secured, self._still, self._socket
        for _ in range(most):
            try:
                last, frames = receive(socket)
            except zmq.Again:
                left = False
                break
            user = str(last.get("User-Id")) if secured else OPERATOR
            if still is not None and not still(user, str(last.get(SENDER))):
                user = NOBODY
            self._take(user, frames)
        self._flush()
        return left

    def _take(self, user: str, frames: list[bytes]) -> None:
        try:
            envelope, head, body = split(frames)
        except NotOurs as error:
            self._counters["refused"] += 1
            self._send(error.envelope, (Head(outcome=REFUSED, reason=str(error)).SerializeToString(), b""))
            return
        except Refused:
            self._counters["refused"] += 1
            return
        caller, number = head.caller, head.call
        call = Call(user, caller, number, head.settled, head.patience_ms / 1e3, head.trace)
        if user == NOBODY:
            self._refuse(_Reply(envelope, call, False), Unauthorised("this credential has been revoked"))
            return
        served = self._served.get(head.method)
        if served is None:
            unknown = Refused(f"{self._contract.name} has no method {head.method[:64]!r}")
            self._refuse(_Reply(envelope, call, False), unknown)
            return
        known = bool(caller and number)
        reply = _Reply(envelope, call, known and served.method.remember)
        if not (known and self._seen_before(reply)):
            self._carry_out(served, body, reply)

    def _seen_before(self, reply: _Reply) -> bool:
        """Answer a repeated call from memory, or let it join the same call still running."""
        call = reply.call
        if self._running:
            running = self._running.get((call.user, call.caller, call.number))
            if running is not None:
                running.envelope = reply.envelope
                return True
        if not reply.remember:
            return False
        known = self._memory.recall((call.user, call.caller), call.number, call.settled)
        if known is None:
            return False
        if known:
            self._outbox.append((reply, known))
        return True

    def _carry_out(self, served: _Served, body: bytes, reply: _Reply) -> None:
        name = served.name
        self._counters[name] += 1
        try:
            result = served.handler(served.method.request.FromString(body), reply.call)
        except DecodeError:
            self._refuse(reply, Refused(f"{name}: the body is no {served.method.request.__name__}"))
        except QkdbusError as error:
            self._refuse(reply, error)
        except Exception as error:
            self._fault(name, error, reply)
        else:
            if isinstance(result, Message):
                self._answer(reply, result)
            elif result is not None:
                self._wait_for(name, result, reply)

    # -- calls that take their time
    def _wait_for(self, name: str, result: Awaitable[Message], reply: _Reply) -> None:
        call = reply.call
        running = (call.user, call.caller, call.number)
        if call.caller and call.number:
            self._running[running] = reply
        task = asyncio.ensure_future(self._finish(name, result, reply, running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, name: str, result: Awaitable[Message], reply: _Reply, running: Running) -> None:
        try:
            answer = await result
        except QkdbusError as error:
            self._refuse(reply, error)
        except Exception as error:
            self._fault(name, error, reply)
        else:
            if answer is not None:
                self._answer(reply, answer)
        finally:
            self._running.pop(running, None)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_late)

    # -- out
    def _answer(self, reply: _Reply, answer: Message) -> None:
        call = reply.call
        self._fine.call = call.number
        frames = (self._fine.SerializeToString(), answer.SerializeToString())
        if reply.remember:  # now, not when it is sent: a repeat may come in the same drain
            self._memory.keep((call.user, call.caller), call.number, frames)
        self._outbox.append((reply, frames))

    def _refuse(self, reply: _Reply, error: QkdbusError) -> None:
        self._counters["refused"] += 1
        reply.remember = False
        head = Head(call=reply.call.number, outcome=outcome_of(error), reason=str(error))
        self._outbox.append((reply, (head.SerializeToString(), b"")))

    def _fault(self, name: str, error: Exception, reply: _Reply) -> None:
        self._counters["faults"] += 1
        self._log.error("fault", extra={"method": name, "kind": type(error).__name__}, exc_info=error)
        reply.remember = False
        reason = f"{name}: {type(error).__name__} in {self._contract.name}; see its log"
        head = Head(call=reply.call.number, outcome=FAILED, reason=reason)
        self._outbox.append((reply, (head.SerializeToString(), b"")))

    def _flush_late(self) -> None:
        self._flushing = False
        self._flush()
        self._pump.nudge()

    def _flush(self) -> None:
        try:
            if self._commit is not None:
                self._commit()
        except Exception as error:
            self._outbox.clear()
            self._fatal(error)
            return
        outbox, self._outbox = self._outbox, []
        for reply, answer in outbox:
            call = reply.call
            if call.number or not call.caller:
                self._send(reply.envelope, answer)

    def _send(self, envelope: list[bytes], answer: Frames) -> None:
        try:
            send(self._socket, envelope, *answer)
        except zmq.ZMQError:  # the caller has gone, or does not read: it will ask again
            self._counters["unsent"] += 1


def _bind(contract: Contract, target: object) -> dict[str, _Served]:
    missing = [name for name in contract.methods if not callable(getattr(target, name, None))]
    if missing:
        raise Failed(f"{type(target).__name__} does not keep {contract.name}: no {', '.join(missing)}")
    return {name: _Served(name, method, getattr(target, name)) for name, method in contract.methods.items()}
