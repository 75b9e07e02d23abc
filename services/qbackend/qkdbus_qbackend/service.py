"""The worker: one exchange a `run`, many at once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from qkdbus.contracts.call import Call
from qkdbus.errors import Exhausted, QkdbusError, Refused
from qkdbus.runtime.settings import Neighbour
from qkdbus.wire.dispatcher_pb2 import Exchange as Asked
from qkdbus.wire.dispatcher_pb2 import Exchanged, KeyBlock
from qkdbus.wire.qbackend_pb2 import Abort, Aborted, Run

from .bits import wipe
from .channel import Channel, Job, Topic
from .emulators.port import Emulator
from .exchange import Exchange, Order
from .failure import NoKey
from .protocols import PROTOCOLS
from .protocols.sifting import Token
from .switchboard import Switchboard, door
from .watch import PATIENCE, Watch

MOST_EXCHANGES = 256  # at once
MOST_BITS = 1 << 23  # asked of one exchange

Emulators = Callable[[Neighbour, Channel], Emulator]  # the emulator of a link, for one exchange


@dataclass(frozen=True, slots=True)
class World:
    """What the worker touches of the world: random octets, clocks, where to note what happened."""

    token: Token
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    log: logging.Logger
    counters: Counter[str]
    since: float = 0.0  # Unix time of this worker's start, as its health says
    publish: Callable[..., None] = lambda event, **fields: None
    patience: float = PATIENCE


class QBackend:
    """Keeps the contract of the qbackend."""

    def __init__(
        self, neighbours: tuple[Neighbour, ...], board: Switchboard, emulators: Emulators, world: World
    ) -> None:
        self._neighbours = {neighbour.name: neighbour for neighbour in neighbours}
        self._board, self._emulators, self._world = board, emulators, world
        self._running: dict[Job, tuple[asyncio.Task[Exchanged], Watch]] = {}

    @property
    def running(self) -> int:
        """Exchanges in progress."""
        return len(self._running)

    async def run(self, request: Run, call: Call) -> Exchanged:
        """Carry out one exchange. A job that runs already is joined. Refused when it cannot be meant for us."""
        asked = request.exchange
        job = Job.of(asked.name)
        if request.since and request.since != self._world.since:
            raise Refused("this worker has started anew")
        if job not in self._running:
            order = self._order(asked)
            if len(self._running) >= MOST_EXCHANGES:
                raise Exhausted(f"{MOST_EXCHANGES} exchanges are running")
            watch = Watch(self._world.monotonic, self._world.patience)
            task = asyncio.create_task(self._carry_out(job, asked, order, watch))
            self._running[job] = task, watch
            task.add_done_callback(lambda _: self._running.pop(job, None))
        return await asyncio.shield(self._running[job][0])

    def abort(self, request: Abort, call: Call) -> Aborted:
        """End an exchange, if it runs."""
        running = self._running.get(Job.of(request.name))
        if running is not None:
            running[1].end(NoKey("aborted"))
        return Aborted()

    async def stop(self) -> None:
        """End all exchanges, and let the other ends know."""
        running = list(self._running.values())
        for _, watch in running:
            watch.end(NoKey("stopped"))
        await asyncio.gather(*(task for task, _ in running), return_exceptions=True)

    def _order(self, asked: Asked) -> Order:
        neighbour = self._neighbours.get(asked.name.peer)
        if neighbour is None:
            raise Refused(f"{asked.name.peer[:64]!r} is no neighbour")
        protocol = PROTOCOLS.get(asked.protocol or neighbour.link.protocol)
        if protocol is None:
            raise Refused(f"no protocol {asked.protocol[:64]!r}; there are {', '.join(PROTOCOLS)}")
        if not 0 < asked.bits <= MOST_BITS:
            raise Refused(f"1 to {MOST_BITS} bits can be asked of one exchange")
        if asked.arbiter != neighbour.arbiter:
            raise Refused("the network file gives this link's ends the other roles")
        if not asked.arbiter and not door(neighbour, asked.endpoint):
            raise Refused(f"{asked.endpoint[:64]!r} is no door of {neighbour.name}")
        return Order(asked.arbiter, asked.bits, protocol, neighbour.link)

    async def _carry_out(self, job: Job, asked: Asked, order: Order, watch: Watch) -> Exchanged:
        world, started = self._world, self._world.monotonic()
        endpoint = "" if order.arbiter else door(self._neighbours[job.peer], asked.endpoint)
        channel = self._board.open(job, world.token(16), endpoint=endpoint, progress=watch.touch)
        watch.restless = channel.repeat  # to learn soon when the other end has started anew
        emulator = self._emulators(self._neighbours[job.peer], channel)
        exchange = Exchange(order, channel, emulator, world.token, watch.touch)
        try:
            octets = await watch.guard(exchange.form())
        except QkdbusError as error:
            failure = error if isinstance(error, NoKey) else NoKey(f"emulator: {error}")
            channel.tell(Topic.BYE, failure.reason.encode())
            answer = Exchanged(failure=failure.reason, alarm=failure.alarm)
        else:
            answer = Exchanged(block=KeyBlock(run=exchange.tally.run, length=exchange.tally.length))
            answer.block.bits = octets.tobytes()
            wipe(octets)
        finally:
            self._board.close(job)
        record = exchange.tally.record(world.monotonic() - started, world.clock())
        (answer if answer.failure else answer.block).record.CopyFrom(record)
        self._note(job, exchange, answer)
        return answer

    def _note(self, job: Job, exchange: Exchange, answer: Exchanged) -> None:
        world, tally = self._world, exchange.tally
        fields = {
            "peer": job.peer,
            "job": job.job,
            "pairs": tally.created,
            "qber": round(tally.qber, 6),
            "length": tally.length,
        }
        world.counters["pairs"] += tally.created
        if answer.failure:
            world.counters["exchanges_failed"] += 1
            world.log.warning("exchange_failed", extra={**fields, "reason": answer.failure})
            world.publish("exchange_failed", reason=answer.failure, alarm=answer.alarm, **fields)
        else:
            world.counters["blocks"] += 1
            world.counters["key_bits"] += tally.length
            world.log.debug("key_distilled", extra=fields)
            world.publish("key_distilled", **fields)
