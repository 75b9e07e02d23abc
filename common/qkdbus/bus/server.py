"""The server of a layer: ROUTER sockets in front of plain objects.

It drains many messages per wake-up, calls the layer's `commit` once, and sends the answers only then: durable
writes of one drain share one transaction, and nothing is answered that is not durable. What a method raises
becomes the answer's outcome. This is the one place that catches everything (`_carry_out`, `_answer`).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import zmq
from google.protobuf.message import DecodeError, Message

from ..contracts.call import OPERATOR, Call
from ..contracts.contract import Contract, Method
from ..errors import Failed, QkdbusError, Refused
from ..wire.head_pb2 import FAILED, REFUSED, Head
from .frames import PROTOCOL, NotOurs, outcome_of, split
from .memory import Memory
from .pump import Pump

Handler = Callable[[Message, Call], "Message | Awaitable[Message] | None"]
Running = tuple[str, bytes, int]


@dataclass(slots=True)
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
    ) -> None:
        self._socket, self._contract, self._secured = socket, contract, secured
        self._log, self._counters, self._fatal = log, counters, fatal
        self._commit = commit
        self._handlers = _bind(contract, target)
        self._memory = Memory(clock)
        self._running: dict[Running, _Reply] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: list[tuple[_Reply, list[bytes]]] = []
        self._flushing = False
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
        left = True
        for _ in range(most):
            try:
                user, frames = self._receive()
            except zmq.Again:
                left = False
                break
            self._take(user, frames)
        self._flush()
        return left

    def _receive(self) -> tuple[str, list[bytes]]:
        if not self._secured:
            return OPERATOR, self._socket.recv_multipart(zmq.NOBLOCK)
        first = self._socket.recv(zmq.NOBLOCK, copy=False)
        rest = self._socket.recv_multipart(zmq.NOBLOCK) if first.more else []
        return str(first.get("User-Id")), [first.bytes, *rest]

    def _take(self, user: str, frames: list[bytes]) -> None:
        try:
            envelope, head, body = split(frames)
        except NotOurs as error:
            self._counters["refused"] += 1
            self._send(error.envelope, [PROTOCOL, Head(outcome=REFUSED, reason=str(error)).SerializeToString(), b""])
            return
        except Refused:
            self._counters["refused"] += 1
            return
        call = Call(user, head.caller, head.call, head.settled, head.patience_ms / 1e3, head.trace)
        method = self._contract.methods.get(head.method)
        reply = _Reply(envelope, call, bool(method and method.remember and head.caller and head.call))
        if method is None:
            self._refuse(reply, Refused(f"{self._contract.name} has no method {head.method[:64]!r}"))
        elif not self._seen_before(reply):
            self._carry_out(head.method, method, body, reply)

    def _seen_before(self, reply: _Reply) -> bool:
        """Answer a repeated call from memory, or let it join the same call still running."""
        call = reply.call
        if not call.caller or not call.number:
            return False
        running = (call.user, call.caller, call.number)
        if running in self._running:
            self._running[running].envelope = reply.envelope
            return True
        known = self._memory.recall((call.user, call.caller), call.number, call.settled) if reply.remember else None
        if known is not None:
            self._outbox.append((reply, known))
            reply.remember = False
        return known is not None

    def _carry_out(self, name: str, method: Method, body: bytes, reply: _Reply) -> None:
        self._counters[name] += 1
        try:
            request = method.request.FromString(body)
            result = self._handlers[name](request, reply.call)
        except DecodeError:
            self._refuse(reply, Refused(f"{name}: the body is no {method.request.__name__}"))
        except QkdbusError as error:
            self._refuse(reply, error)
        except Exception as error:
            self._fault(name, error, reply)
        else:
            if inspect.isawaitable(result):
                self._wait_for(name, result, reply)
            elif result is not None:
                self._answer(reply, result)

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
            asyncio.get_running_loop().call_soon(self._flush)

    # -- out
    def _answer(self, reply: _Reply, answer: Message) -> None:
        head = Head(call=reply.call.number).SerializeToString()
        self._outbox.append((reply, [PROTOCOL, head, answer.SerializeToString()]))

    def _refuse(self, reply: _Reply, error: QkdbusError) -> None:
        self._counters["refused"] += 1
        reply.remember = False
        head = Head(call=reply.call.number, outcome=outcome_of(error), reason=str(error))
        self._outbox.append((reply, [PROTOCOL, head.SerializeToString(), b""]))

    def _fault(self, name: str, error: Exception, reply: _Reply) -> None:
        self._counters["faults"] += 1
        self._log.error("fault", extra={"method": name, "kind": type(error).__name__}, exc_info=error)
        reply.remember = False
        reason = f"{name}: {type(error).__name__} in {self._contract.name}; see its log"
        head = Head(call=reply.call.number, outcome=FAILED, reason=reason)
        self._outbox.append((reply, [PROTOCOL, head.SerializeToString(), b""]))

    def _flush(self) -> None:
        self._flushing = False
        try:
            if self._commit is not None:
                self._commit()
        except Exception as error:
            self._outbox.clear()
            self._fatal(error)
            return
        outbox, self._outbox = self._outbox, []
        for reply, answer in outbox:
            if reply.remember:
                self._memory.keep((reply.call.user, reply.call.caller), reply.call.number, answer)
            if reply.call.number or not reply.call.caller:
                self._send(reply.envelope, answer)
        if outbox:
            self._pump.nudge()

    def _send(self, envelope: list[bytes], answer: list[bytes]) -> None:
        try:
            self._socket.send_multipart([*envelope, *answer], zmq.NOBLOCK)
        except zmq.ZMQError:  # the caller has gone, or does not read: it will ask again
            self._counters["unsent"] += 1


def _bind(contract: Contract, target: object) -> dict[str, Handler]:
    missing = [name for name in contract.methods if not callable(getattr(target, name, None))]
    if missing:
        raise Failed(f"{type(target).__name__} does not keep {contract.name}: no {', '.join(missing)}")
    return {name: getattr(target, name) for name in contract.methods}
