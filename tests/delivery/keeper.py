"""A key manager in a laboratory: the product's own parts, wired by its own `assemble`, movable to any state.

No loop runs: what the product would do in the background stands still until the explorer does it, step by step.
A state is what is in the store, and what is in memory besides. Each step ends with the commit that the bus makes
before an answer leaves, so a crash before that commit is a crash before the step.
"""

from __future__ import annotations

import logging
import pickle
import sqlite3
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

from qkdbus.contracts.call import Call
from qkdbus.errors import Refused, Silent
from qkdbus.network.model import Buffers
from qkdbus.wire import keymanager_pb2 as km
from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keymanager import build, feed, store
from qkdbus_keymanager.buffer import Run
from qkdbus_keymanager.ranges import Ranges
from qkdbus_keymanager.store import Kind
from qkdbus_keymanager.stream import State, Stream

from ..keysync.exploring.lab import CHUNK, LATER, NOW, Sid

TABLES = ("assoc", "tombstone", "caller", "sqlite_sequence")
USER = "app"
TWO_KEYS = 2 * CHUNK  # bytes of a take: a buffer is filled by several of them
LOG = logging.getLogger("explored")
LOG.disabled = True
QOS = km.QoS(key_chunk_size=CHUNK, ttl=3600, timeout=1000)


@dataclass(frozen=True)
class Held:
    """One association, as far as the invariants need it.

    Attributes:
        memory: (index, bits) of keys in memory, of which `needed` may still be asked for.
        held: (caller, number, first, end) of what may be asked for again.
    """

    ksid: bytes
    oid: bytes
    state: State
    sid: Sid | None
    low: int
    done: tuple[int, ...]
    next_index: int
    memory: tuple[tuple[int, bytes], ...]
    needed: frozenset[int]
    held: tuple[tuple[bytes, int, int, int], ...]
    pulling: bool


@dataclass(frozen=True)
class Facts:
    """What can be said about one state. `settled`: the mark of each caller that is remembered."""

    streams: tuple[Held, ...]
    settled: tuple[tuple[bytes, int], ...]

    def stream(self, oid: bytes) -> Held | None:
        """Return the association of that name."""
        return next((stream for stream in self.streams if stream.oid == oid), None)


class Outcome(NamedTuple):
    """Of one step: requests are (oid, request, whether it asks for other keys than the next in turn)."""

    state: int
    requests: tuple[tuple[bytes, bytes, bool], ...]
    answer: Any


class Dry(Exception):
    """Raised where a call would wait for a key."""


class Still:
    """Instead of `ports.Tasks`: nothing runs in the background."""

    def __init__(self, failed: Any) -> None:
        del failed

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Leave it to the explorer."""
        work.close()

    def cancel(self) -> None:
        """There is nothing to end."""


class Neighbour:
    """Instead of keysync: answers at once, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []

    async def ask(self, method: str, request: Any, *, patience: float | None = None) -> Any:
        """Return what was prepared."""
        self.asked.append((method, request))
        return self.answers[method]


class MemoryStore(store.Store):
    """The product's store over a database in memory."""

    def __init__(self) -> None:
        self._normal = "NORMAL"
        self._base = sqlite3.connect(":memory:", isolation_level=None, cached_statements=64)
        self._base.executescript(store._TABLES)
        self._run = self._base.execute
        self._rows = {}


class Keeper:
    """One key manager, for either node: `planted` are parts that replace the product's, by their name in `build`."""

    def __init__(self, planted: dict[str, Any]) -> None:
        self.planted = planted
        self.store = MemoryStore()
        self.clock, self.monotonic = NOW, 0.0
        self.states: list[bytes] = []
        self.facts: list[Facts] = []
        self._numbers: dict[bytes, int] = {}
        self._known: dict[tuple[Any, ...], Outcome] = {}
        self._at = -1
        self.manager = self._make()
        self.empty = self._intern()

    def _make(self) -> Any:
        self.keysync = Neighbour()
        surroundings = build.World(
            me="here",
            nodes=("here", "peer"),
            keysync=self.keysync,
            neighbours={},
            store=self.store,
            boot_id="boot",
            clock=lambda: self.clock,
            monotonic=lambda: self.monotonic,
            fatal=_fatal,
            buffers=Buffers(close_grace_s=0),
            log=LOG,
        )
        with patch.multiple(build, Tasks=Still, **self.planted):
            manager = build.assemble(surroundings)
        setattr(manager._getting, "_wait", _dry)  # noqa: B010 (mypy)
        return manager

    # --- steps

    def step(self, state: int, name: str, *args: Any) -> Outcome:
        """Carry out a step from a state."""
        key = (state, name, args)
        if key not in self._known:
            self.load(state)
            streams = self.manager.registry.streams
            under_way = {stream.oid for stream in streams.values() if stream.pulling}
            with patch.object(feed, "FIRST_TAKE", TWO_KEYS):
                answer = getattr(self, "do_" + name)(*args)
                if name == "start":
                    under_way.clear()
                elif name == "hear":
                    under_way.discard(args[0])
                begun = [s for s in self.manager.registry.streams.values() if s.pulling and s.oid not in under_way]
                requests = tuple(self._begin(stream) for stream in begun)
            self.manager.commit()
            self._known[key] = Outcome(self._intern(), requests, answer)
        return self._known[key]

    def _begin(self, stream: Stream) -> tuple[bytes, bytes, bool]:
        request, jump = self.manager._feed.begin(stream)
        return stream.oid, request.SerializeToString(deterministic=True), jump

    def do_start(self) -> None:
        """The process dies, and another one begins from the store."""
        self.manager = self._make()
        _run(self.manager.start())

    def do_open(self, ksid: bytes, oid: bytes) -> bool:
        """Both key managers have agreed on a stream: it is stored, and keysync is to be asked for it."""
        registry = self.manager.registry
        if ksid in registry.streams or registry.refused(ksid):
            return False
        stream = Stream(0, ksid, oid, "peer", "app@here", "app@peer", USER, QOS, synced=True)
        registry.add(stream)
        return True

    def do_opened(self, oid: bytes) -> None:
        """Keysync has answered `open_stream`."""
        stream = self.manager.registry.by_oid.get(oid)
        if stream is not None and stream.state == State.NEW:
            self.keysync.answers["open_stream"] = wire.StreamOpened()
            _run(self.manager._opening._open_at_keysync(stream))

    def do_close(self, ksid: bytes) -> None:
        """The application closes."""
        self.manager.close(km.Close(ksid=ksid), Call(USER))

    def do_closed(self, oid: bytes) -> None:
        """Keysync has answered `close_stream`."""
        stream = self.manager.registry.by_oid.get(oid)
        if stream is not None and stream.state == State.CLOSING:
            self.keysync.answers["close_stream"] = wire.StreamClosed()
            _run(self.manager._leaving._close(stream, Kind.CLOSED))

    def do_orphans(self, oids: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Keysync has answered `list_opens`: return what it is asked to close."""
        self.keysync.answers = {"list_opens": wire.Opens(oids=oids), "close_stream": wire.StreamClosed()}
        _run(self.manager._leaving.reconcile())
        return tuple(request.oid for method, request in self.keysync.asked if method == "close_stream")

    def do_get(
        self, caller: bytes, number: int, settled: int, ksid: bytes, index: int | None, count: int
    ) -> tuple[Any, ...]:
        """A call arrives: ("key", sid, first, keys), ("dry",) when it has to wait, or what else it is told."""
        call = Call(USER, caller, number, settled)
        try:
            if count:
                answer = self.manager.get_keys(km.GetKeys(ksid=ksid, count=count), call)
            else:
                answer = self.manager.get_key(km.GetKey(ksid=ksid, index=index), call)
        except Dry:
            return ("dry",)
        except Refused:
            return ("refused",)
        if answer.status:
            return ("status", answer.status)
        bits = answer.keys if count else answer.key
        keys = tuple(bits[n : n + CHUNK] for n in range(0, len(bits), CHUNK))
        return ("key", _sid(self.manager.registry.streams[ksid].sid), answer.index, keys)

    def do_hear(self, oid: bytes, taken: bytes, jump: bool) -> None:
        """The answer of a take arrives."""
        stream = self.manager.registry.by_oid.get(oid)
        if stream is None:
            return
        more = self.manager._feed.hear(stream, wire.Taken.FromString(taken), jump)
        stream.pulling = False  # `step` begins the next take, as the loop of the product does
        if more and stream.state == State.OPEN:
            self.manager._feed.want(stream)
        else:
            self.manager._feed.end(stream)

    def do_unheard(self, oid: bytes) -> None:
        """The answer of a take does not arrive in time."""
        stream = self.manager.registry.by_oid.get(oid)
        if stream is not None:
            self.manager._feed.unheard(stream, Silent("take"))
            self.manager._feed.end(stream)

    def do_beat(self) -> None:
        """It is time to acknowledge and to look."""
        self.monotonic = LATER
        self.manager._feed.round(self._open())
        self.monotonic = 0.0

    def do_idle(self) -> None:
        """No caller has called for long."""
        self.monotonic = LATER
        self.manager.registry.callers.tidy()
        self.monotonic = 0.0

    def do_age(self) -> None:
        """The time to live of all that is in memory is over."""
        self.clock = LATER
        self.manager._housekeeping(self._open())
        self.clock = NOW

    def _open(self) -> list[Stream]:
        return [stream for stream in self.manager.registry.streams.values() if stream.state == State.OPEN]

    # --- states

    def _intern(self) -> int:
        rows = {table: self.store._run(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}
        snapshot = pickle.dumps((rows, self._volatile()))
        number = self._numbers.setdefault(snapshot, len(self.states))
        if number == len(self.states):
            self.states.append(snapshot)
            self.facts.append(_facts(self.manager.registry))
        self._at = number
        return number

    def load(self, number: int) -> None:
        """Move to a state."""
        if self._at == number:
            self.keysync.asked.clear()
            return
        rows, volatile = pickle.loads(self.states[number])
        for table in TABLES:
            self.store._run(f"DELETE FROM {table}")
            for row in rows[table]:
                self.store._run(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        self.manager = self._make()
        self._restore(volatile)
        self._at = number

    def _volatile(self) -> Any:
        registry = self.manager.registry
        streams = [
            (
                *(s.ksid, int(s.state), s.sid, s.done.low, tuple(s.done.above()), s.expired, s.delivered),
                *(s.draining_since, s.fresh, s.frontier, s.next_index, s.caught_up, s.pulling, s.again),
                *(tuple(s.wanted), s.low_water, s.unacknowledged_since is None),
                tuple((r.first, r.chunk, bytes(r.bits), r.available_at, r.tail, r.left) for r in s.buffer.runs),
            )
            for s in registry.streams.values()
        ]
        callers = [
            (who, caller.settled, [(a.number, a.stream.ksid, a.first, a.end) for a in caller.answers.values()])
            for who, caller in sorted(registry.callers._callers.items())
        ]
        return streams, callers, sorted(registry.lost), sorted(self.manager._leaving._departed)

    def _restore(self, volatile: Any) -> None:
        registry = self.manager.registry
        streams, callers, lost, departed = volatile
        registry.lost, self.manager._leaving._departed = set(lost), set(departed)
        for ksid, state, sid, low, above, *rest, quiet, runs in streams:
            s = registry.streams[ksid]
            s.state, s.sid, s.done = State(state), sid, Ranges(low, above)
            (s.expired, s.delivered, s.draining_since, s.fresh, s.frontier, s.next_index, s.caught_up) = rest[:7]
            s.pulling, s.again, wanted, s.low_water = rest[7:]
            s.wanted = list(wanted)
            s.unacknowledged_since = None if quiet else 0.0
            s.held.clear()
            for first, chunk, bits, at, tail, left in runs:
                run = Run(first, chunk, bytearray(bits), at, tail)
                run.left = left
                s.buffer.put(run)
        known = registry.callers
        type(known).__init__(known, known._monotonic, known._now)
        for who, settled, answers in callers:
            caller = registry.callers._welcome(who)
            caller.settled = settled
            for number, ksid, first, end in answers:
                registry.callers.remember(caller, number, registry.streams[ksid], first, end)
        registry.callers.changed.clear()


def _facts(registry: Any) -> Facts:
    streams = []
    for s in registry.streams.values():
        memory = tuple(
            (run.first + n, bits)
            for run in s.buffer.runs
            for n in range(run.end - run.first)
            if any(bits := bytes(run.bits[n * CHUNK : (n + 1) * CHUNK]))
        )
        held = tuple(sorted((a.caller.who[1], a.number, a.first, a.end) for a in s.held.values()))
        again = {index for _, _, first, end in held for index in range(first, end)}
        done = tuple(index for start, end in s.done.above() for index in range(start, end))
        streams.append(
            Held(
                *(s.ksid, s.oid, s.state, _sid(s.sid) if s.sid else None, s.done.low, done, s.next_index, memory),
                frozenset(index for index, _ in memory if index not in s.done or index in again),
                held,
                s.pulling,
            )
        )
    settled = tuple(sorted((who[1], caller.settled) for who, caller in registry.callers._callers.items()))
    return Facts(tuple(streams), settled)


def _sid(packed: bytes) -> Sid:
    sid = wire.Sid.FromString(packed)
    return sid.epoch.n, sid.epoch.r, sid.seq


def _run(work: Coroutine[Any, Any, Any]) -> None:
    """Run what never has to wait here."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def _dry(*_args: Any) -> None:
    raise Dry


def _fatal(error: BaseException) -> None:
    raise error
