"""The worker: one exchange a `run`, many at once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.contracts.dispatcher import notes
from qkdbus.errors import Exhausted, QkdbusError, Refused
from qkdbus.network.model import LinkSettings
from qkdbus.physics.setup import PulseSetup
from qkdbus.runtime.settings import Neighbour
from qkdbus.wire.dispatcher_pb2 import Exchange as Asked
from qkdbus.wire.dispatcher_pb2 import Exchanged, KeyBlock
from qkdbus.wire.qbackend_pb2 import Abort, Aborted, Attack, Attacked, Run

from . import own
from .authkeys import AuthKeys
from .bits import wipe
from .channel import Channel, Job
from .distil.authenticate import Transcript
from .distilling import Means
from .emulators.port import Emulator
from .exchange import Exchange
from .failure import NoKey
from .order import Order
from .protocols import PROTOCOLS
from .protocols.bb84 import DecoyBB84
from .protocols.sifting import Token
from .switchboard import Switchboard, door
from .tally import figures
from .watch import PATIENCE, SLOW, Watch

MOST_EXCHANGES = 256  # at once
MOST_BITS = 1 << 23  # asked of one exchange

Emulators = Callable[[Neighbour, Channel], Emulator]  # the emulator of a link, for one exchange
Keys = Callable[[str], AuthKeys]  # for the authentication towards a neighbour. Refused when there are none


@dataclass(frozen=True, slots=True)
class World:
    """What the worker touches of the world: random octets, clocks, keys, where to note what happened."""

    token: Token
    keys: Keys
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    log: logging.Logger
    counters: Counter[str]
    since: float = 0.0  # Unix time of this worker's start, as its health says
    publish: Callable[..., None] = lambda event, **fields: None
    patience: float = PATIENCE
    slow: float = SLOW
    attack: Callable[[Attack], Attacked] = lambda request: Attacked()
    measured: Callable[..., None] = lambda peer, record, well: None  # hears of each exchange that has ended


class QBackend:
    """Keeps the contract of the qbackend."""

    def __init__(
        self,
        neighbours: tuple[Neighbour, ...],
        board: Switchboard,
        emulators: Emulators,
        world: World,
        forms: Mapping[str, own.Form] | None = None,
    ) -> None:
        self._forms = forms or {}  # neighbour -> how blocks are formed on that link, where it is not by an emulator
        self._neighbours = {neighbour.name: neighbour for neighbour in neighbours}
        self._board, self._emulators, self._world = board, emulators, world
        self._running: dict[Job, tuple[asyncio.Task[Exchanged], Watch]] = {}
        self._qber = {neighbour.name: _expected_qber(neighbour.link) for neighbour in neighbours}  # lately

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
            watch = Watch(self._world.monotonic, self._world.patience, self._world.slow)
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

    def attack(self, request: Attack, call: Call) -> Attacked:
        """Put an eavesdropper into the channel to a neighbour, or take her out of it."""
        return self._world.attack(request)

    def notes(self, method: str, request: Message, answer: Message | None) -> dict[str, object]:
        """Return what is told of a call that somebody follows."""
        if isinstance(request, Run):
            return notes(request.exchange.name, answer)
        return notes(request.name, answer) if isinstance(request, Abort) else {}

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
        link = neighbour.link
        setup = link.photonic.setup(protocol.name) if link.emulator == "photonic" else None
        if isinstance(protocol, DecoyBB84) and isinstance(setup, PulseSetup):
            protocol = protocol.on(setup)
        return Order(asked.arbiter, asked.bits, protocol, link, setup, self._qber[neighbour.name])

    async def _carry_out(self, job: Job, asked: Asked, order: Order, watch: Watch) -> Exchanged:
        world, started = self._world, self._world.monotonic()
        endpoint = "" if order.arbiter else door(self._neighbours[job.peer], asked.endpoint)
        if job.peer in self._forms:
            return await self._carry_out_own(job, order, endpoint, watch)
        keys = world.keys(job.peer)
        transcript = Transcript(keys, source=order.arbiter, fast=order.fast)
        channel = self._board.open(
            job, world.token(16), endpoint=endpoint, progress=watch.touch, alive=watch.alive, ears=transcript
        )
        watch.restless = channel.repeat  # to learn soon when the other end has started anew
        emulator = self._emulators(self._neighbours[job.peer], channel)
        means = Means(world.token, keys, world.monotonic, watch.touch)
        exchange = Exchange(order, channel, emulator, means, transcript)
        try:
            octets = await watch.guard(exchange.form())
        except QkdbusError as error:
            failure = error if isinstance(error, NoKey) else NoKey(f"emulator: {error}")
            channel.take_leave(failure)
            answer = Exchanged(failure=failure.reason, alarm=failure.alarm)
        else:
            answer = Exchanged(block=KeyBlock(run=exchange.tally.run, length=exchange.tally.length))
            answer.block.bits = octets.tobytes()
            wipe(octets)
        finally:
            self._board.close(job)
        if exchange.tally.kept:
            self._qber[job.peer] = exchange.tally.qber
        record = exchange.tally.record(world.monotonic() - started, world.clock())
        (answer if answer.failure else answer.block).record.CopyFrom(record)
        self._note(job, exchange, answer)
        return answer

    async def _carry_out_own(self, job: Job, order: Order, endpoint: str, watch: Watch) -> Exchanged:
        channel = self._board.open(
            job, self._world.token(16), endpoint=endpoint, progress=watch.touch, alive=watch.alive
        )
        watch.restless = channel.repeat
        try:
            answer = await own.carry_out(self._forms[job.peer], channel, order, watch)
        finally:
            self._board.close(job)
        counters, fields = self._world.counters, {"peer": job.peer, "job": job.job}
        if answer.failure:
            counters["exchanges_failed"] += 1
            self._world.log.warning("exchange_failed", extra={**fields, "reason": answer.failure})
        else:
            counters["blocks"] += 1
            counters["key_bits"] += answer.block.length
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
        world.measured(job.peer, answer.record if answer.failure else answer.block.record, well=not answer.failure)
        if answer.failure:
            world.log.warning("exchange_failed", extra={**fields, "reason": answer.failure})
            told = {**figures(answer.record), **fields}
            world.publish("exchange_failed", reason=answer.failure, alarm=answer.alarm, **told)
        else:
            world.log.debug("key_distilled", extra=fields)
            world.publish("key_distilled", **{**figures(answer.block.record), **fields})


def _expected_qber(link: LinkSettings) -> float:
    """Return what the Pauli noise of the network file alone gives in the worst basis."""
    noise = link.noise
    return max(noise.x + noise.y, noise.y + noise.z)
