"""The server of a layer: ROUTER sockets in front of plain objects.

It drains many messages per wake-up, and sends all answers to them together (answers.py). What a method raises becomes
the answer's outcome. This is the one place that catches everything (`_carry_out`, `_finish`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import zmq
from google.protobuf.message import DecodeError, Message

from ..contracts.call import OPERATOR, Call
from ..contracts.contract import Contract
from ..errors import Exhausted, Failed, QkdbusError, Refused, Unauthorised
from ..trace import CURRENT, LONGEST, SIZE
from .answers import Answers, Reply, Served
from .curve import SENDER, KeyPair
from .frames import receive, split
from .guests import Guests
from .memory import Memory
from .pump import Pump
from .rebinding import rebind
from .witness import Witness

if TYPE_CHECKING:
    from ..network.limits import Limits

Running = tuple[str, bytes, int]
MOST_RUNNING = 10_000  # calls of one user that take their time, at once
NOBODY = ""  # the user behind a connection whose credential is not known any more


class Server:
    """One ROUTER socket, one contract, one target.

    Attributes:
        socket: bound by the owner; closed here.
        secured: the socket is CURVE: who is behind a message is in its metadata, else it is the OPERATOR.
        commit: called before answers go out; an exception from it is fatal (`fatal` is called).
        still: asked of each message of a secured socket: is this user still let in with this key (Z85)?
        limits: of a door for applications; None where all are trusted to ask no more than they need.
        witness: hears how long calls took, and what came of those that somebody wants to read of.
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
        witness: Witness | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._still = still
        self._witness = witness or Witness()
        self._socket, self._contract, self._secured = socket, contract, secured
        self._counters, self._clock = counters, clock
        self._served = _bind(contract, target, self._witness)
        self._woken_at = 0.0
        self._memory = Memory(clock)
        self._running: dict[Running, Reply] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._taking_time: Counter[str] = Counter()  # user -> tasks
        self._flushing = False
        self._most_running = limits.unanswered if limits is not None else MOST_RUNNING
        self._guests: Guests | None = None
        if limits is not None:
            self._guests = Guests(socket, limits, self._take, self._turn_away, counters, clock)
        self._answers = Answers(
            socket,
            contract,
            target,
            memory=self._memory,
            witness=self._witness,
            log=log,
            counters=counters,
            clock=clock,
            fatal=fatal,
            commit=commit,
            sent=self._guests.connections.sent if self._guests is not None else None,
        )
        self._pump = Pump(socket, self._drain)

    @property
    def busy(self) -> int:
        """Calls that are still being carried out."""
        return len(self._running)

    @property
    def remembered(self) -> int:
        """Answers that may be asked for again."""
        return len(self._memory)

    def tidy(self) -> None:
        """Forget what nobody will ask for again. Called by a slow timer."""
        self._memory.tidy()
        if self._guests is not None:
            self._guests.tidy()

    def rebind(self, pair: KeyPair, endpoint: str) -> None:
        """Serve on at `endpoint` with another key; all who are connected have to connect again."""
        rebind(self._socket, pair, endpoint, self._pump.nudge)

    def close(self) -> None:
        """Stop serving. Calls that run are cancelled."""
        self._pump.close()
        if self._guests is not None:
            self._guests.close()
        for task in self._tasks:
            task.cancel()
        self._socket.close(linger=200)

    # -- in
    def _drain(self, most: int) -> bool:
        left, secured, still, socket = True, self._secured, self._still, self._socket
        self._woken_at = self._clock()
        guests = self._guests
        for _ in range(most if guests is None else guests.ahead(most)):
            try:
                last, frames = receive(socket)
            except zmq.Again:
                left = False
                break
            user = str(last.get("User-Id")) if secured else OPERATOR
            if still is not None and not still(user, str(last.get(SENDER))):
                user = NOBODY
            if guests is None:
                self._take(user, frames)
            else:
                guests.heard(user, last, frames)
        if guests is not None and guests.serve(most):
            self._pump.nudge()
        CURRENT.set(b"")  # a commit is nobody's in particular
        self._answers.flush()
        return left

    def _turn_away(self, user: str, frames: list[bytes], reason: str) -> None:
        try:
            envelope, head, _ = split(frames)
        except Refused:
            return
        self._answers.refuse(Reply(envelope, Call(user, head.caller, head.call), False), Exhausted(reason))

    def _take(self, user: str, frames: list[bytes]) -> None:
        try:
            envelope, head, body = split(frames)
        except Refused as error:
            self._answers.malformed(error)
            return
        caller, number, trace = head.caller, head.call, head.trace
        if len(trace) > LONGEST:
            trace = b""
        call = Call(user, caller, number, head.settled, head.patience_ms / 1e3, trace)
        if user == NOBODY:
            self._answers.refuse(Reply(envelope, call, False), Unauthorised("this credential has been revoked"))
            return
        served = self._served.get(head.method)
        if served is None:
            unknown = Refused(f"{self._contract.name} has no method {head.method[:64]!r}")
            self._answers.refuse(Reply(envelope, call, False), unknown)
            return
        known = bool(caller and number)
        reply = Reply(envelope, call, known and served.method.remember, served, self._woken_at)
        if not (known and self._seen_before(reply)):
            self._carry_out(served, body, reply)

    def _seen_before(self, reply: Reply) -> bool:
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
            self._answers.again(reply, known)
        return True

    def _carry_out(self, served: Served, body: bytes, reply: Reply) -> None:
        name, trace = served.name, reply.call.trace
        self._counters[name] += 1
        CURRENT.set(trace)
        if self._taking_time and self._taking_time[reply.call.user] >= self._most_running:
            self._answers.refuse(reply, Exhausted(f"{self._most_running} calls of yours are under way"))
            return
        try:
            request = served.method.request.FromString(body)
            if len(trace) > SIZE or served.method.event or self._witness.verbose:
                reply.told = request
            result = served.handler(request, reply.call)
        except DecodeError:
            self._answers.refuse(reply, Refused(f"{name}: the body is no {served.method.request.__name__}"))
        except QkdbusError as error:
            self._answers.refuse(reply, error)
        except Exception as error:
            self._answers.fault(name, error, reply)
        else:
            if isinstance(result, Message):
                self._answers.give(reply, result)
            elif result is not None:
                self._wait_for(name, result, reply)

    # -- calls that take their time
    def _wait_for(self, name: str, result: Awaitable[Message], reply: Reply) -> None:
        call = reply.call
        running = (call.user, call.caller, call.number)
        if call.caller and call.number:
            self._running[running] = reply
        task = asyncio.ensure_future(self._finish(name, result, reply, running))
        self._tasks.add(task)
        self._taking_time[call.user] += 1
        task.add_done_callback(partial(self._taken, call.user))

    def _taken(self, user: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._taking_time[user] -= 1
        if not self._taking_time[user]:
            del self._taking_time[user]

    async def _finish(self, name: str, result: Awaitable[Message], reply: Reply, running: Running) -> None:
        try:
            answer = await result
        except QkdbusError as error:
            self._answers.refuse(reply, error)
        except Exception as error:
            self._answers.fault(name, error, reply)
        else:
            if answer is not None:
                self._answers.give(reply, answer)
        finally:
            self._running.pop(running, None)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_late)

    def _flush_late(self) -> None:
        self._flushing = False
        CURRENT.set(b"")
        self._answers.flush()
        self._pump.nudge()


def _bind(contract: Contract, target: object, witness: Witness) -> dict[str, Served]:
    missing = [name for name in contract.methods if not callable(getattr(target, name, None))]
    if missing:
        raise Failed(f"{type(target).__name__} does not keep {contract.name}: no {', '.join(missing)}")
    return {
        name: Served(name, method, getattr(target, name), witness.latency(name))
        for name, method in contract.methods.items()
    }
