"""An explorer for the product's own state machines (agreement, sections 8 and 9).

A `Lab` holds one end of the link over SQLite in memory; each of its states has a number, and each step from a
state is carried out once and remembered. A `State` of the world is a value: two numbers, the messages under way,
the readers (key managers), and what has been delivered. So searches may go back to any state at no cost.

Blocks are 3 pieces of 16 bits, all different; chunks are 2 pieces: remainders pass through the reservoir.
"""

from __future__ import annotations

import pickle
import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pytest

from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keysync.arbiter import Arbiter
from qkdbus_keysync.effects import JobKey
from qkdbus_keysync.end import Rules
from qkdbus_keysync.follower import Follower
from qkdbus_keysync.jobbook import Running
from qkdbus_keysync.rows import Block, Epoch
from qkdbus_keysync.store import Store, create

NOW, LATER = 1_000.0, 1_000_000.0
PIECE, CHUNK = 2, 4  # octets
TABLES = {
    "link": "", "job": "", "block": "", "ledger": "", "chain": "", "stream": "", "used_oid": "", "open": "",
    "reservoir": "id", "chunk": "id", "material": "id",
}  # fmt: skip
ALICE, BOB = 0, 1  # arbiter, follower

WEIGHTS = {
    "deliver": 3.0, "lose": 0.2, "again": 0.3, "tick": 1.0, "read": 0.5, "plan": 2.0, "exchange": 2.0, "block": 2.0,
    "open": 0.6, "close": 0.05, "crash": 0.05, "lost": 0.03, "back": 0.03, "expire": 0.03, "fail": 0.1, "late": 0.03,
}  # fmt: skip

Sid = tuple[int, int, int]  # epoch n, r, seq
Named = tuple[Sid, int, bytes]  # (sid, index, bits)


class Broken(AssertionError):
    """Raised when an invariant does not hold."""


@dataclass(frozen=True)
class Facts:
    """What can be said about one state of one end, as far as the invariants need it."""

    epoch: Epoch
    fid: int
    seq: int
    applied: int
    jobs: tuple[tuple[int, bool], ...]
    blocks: tuple[tuple[int, bytes], ...]  # job, bits
    ledger: tuple[int, ...]
    reservoir: tuple[tuple[Any, ...], ...]  # run, start, length, bits
    streams: tuple[Any, ...]
    opens: tuple[Any, ...]
    chunks: tuple[tuple[int, int, bytes, bool], ...]  # sid, index, bits, available
    running: frozenset[int]

    def sid(self, seq: int) -> Sid:
        """Name a stream fully."""
        return (*self.epoch, seq)


class Outcome(NamedTuple):
    """Of one step of one end."""

    state: int
    messages: tuple[bytes, ...]
    answer: Any


class Lab:
    """One end of the link, movable to any state it has been in."""

    def __init__(self, role: int, rules: Rules, kind: type[Any]) -> None:
        self.role, self.rules, self.kind = role, rules, kind
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.store = Store(connection)
        create(self.store)
        self.states: list[bytes] = []
        self.facts: list[Facts] = []
        self._numbers: dict[bytes, int] = {}
        self._known: dict[tuple[Any, ...], Outcome] = {}
        self._at = -1
        self.fresh, self.drew = 0, False
        self.end = self._make()
        self.empty = self._intern()

    def _make(self) -> Any:
        return self.kind(self.store, "peer", self.rules, self._token)

    def _token(self, octets: int) -> bytes:
        self.drew = True
        return (1 + self.fresh).to_bytes(octets, "little")

    def step(self, state: int, fresh: int, name: str, *args: Any) -> tuple[Outcome, bool]:
        """Carry out a step from a state; also return whether it drew a random number."""
        for key in ((state, name, args), (state, name, args, fresh)):
            if key in self._known:
                return self._known[key], len(key) == 4
        self.load(state)
        self.fresh, self.drew = fresh, False
        answer = getattr(self, "do_" + name)(*args)
        messages = self._settle()
        if name == "plan":
            for job in list(self.end.book.running):
                self.end.reserved(JobKey(self.end.link.epoch, job), "tcp://worker")
            messages += self._settle()
        outcome = Outcome(self._intern(), messages, answer)
        self._known[(state, name, args, fresh) if self.drew else (state, name, args)] = outcome
        return outcome, self.drew

    def _settle(self) -> tuple[bytes, ...]:
        self.store.commit()
        return tuple(message.SerializeToString(deterministic=True) for message in self.end.drain().messages)

    # --- steps

    def do_start(self) -> None:
        self.end = self._make()
        self.end.start(NOW)

    def do_hear(self, message: bytes) -> None:
        self.end.hear(wire.Reconcile.FromString(message), NOW)

    def do_tick(self, late: bool = False) -> None:
        self.end.tick(LATER if late else NOW)

    def do_plan(self) -> None:
        self.end.plan(NOW, may_start=True)

    def do_block(self, epoch: Epoch, job: int, number: int) -> bool:
        pieces = b"".join((3 * number + n).to_bytes(PIECE, "little") for n in range(3))
        bits = pieces[: self.rules.block_bits // 8]
        block = Block(job, number.to_bytes(16, "little"), 8 * len(bits), b"", bits)
        return bool(self.end.own_block(JobKey(epoch, job), block, NOW))

    def do_fail(self, epoch: Epoch, job: int) -> None:
        self.end.job_failed(JobKey(epoch, job), "dark")

    def do_open(self, ksid: bytes, oid: bytes) -> None:
        asked = wire.OpenStream(ksid=ksid, oid=oid, peer="peer", chunk_size=CHUNK, ttl=3600)
        self.end.open_stream(asked, NOW)

    def do_close(self, oid: bytes) -> None:
        self.end.close_stream(oid, NOW)

    def do_unlink(self, oid: bytes) -> None:
        """Half of a close: the row goes, nothing is decided or said about it."""
        row = self.end.tables.open(oid)
        self.end.tables.delete_open(oid)
        self.end.material.wipe_stream(row.sid)

    def do_take(self, oid: bytes, low: int, done: tuple[int, ...]) -> bytes:
        pairs = [number for index in done for number in (index, 1)]
        taken = self.end.take(wire.Take(oid=oid, low=low, done=pairs, max_bytes=1 << 20))
        return bytes(taken.SerializeToString(deterministic=True))

    def do_expire(self) -> None:
        self.end.expire(LATER)

    def do_sweep(self) -> None:
        self.end.sweep()

    # --- states

    def _intern(self) -> int:
        rows = {
            table: sorted(self.store.read(f"SELECT * FROM {table}")) if not order
            else self.store.read(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
            for table, order in TABLES.items()
        }  # fmt: skip
        order = sorted(rows["chunk"], key=lambda row: row[1:4])  # row ids say nothing
        bits = dict(rows["material"])
        rows["material"] = [(n, bits[row[0]]) for n, row in enumerate(order)]
        rows["chunk"] = [(n, *row[1:]) for n, row in enumerate(order)]
        rows["reservoir"] = [(n, *row[1:]) for n, row in enumerate(rows["reservoir"])]
        snapshot = pickle.dumps((rows, self._volatile()))
        number = self._numbers.setdefault(snapshot, len(self.states))
        if number == len(self.states):
            self.states.append(snapshot)
            self.facts.append(_facts(self.end, rows))
        self._at = number
        return number

    def load(self, number: int) -> None:
        """Move to a state."""
        if self._at == number:
            return
        rows, volatile = pickle.loads(self.states[number])
        for table in TABLES:
            self.store.write(f"DELETE FROM {table}")
            for row in rows[table]:
                self.store.write(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        self.store.commit()
        self.end = self._make()
        self.end._load()
        self._restore(volatile)
        self._at = number

    def _volatile(self) -> Any:
        end = self.end
        shared = sorted(end.lows.items()), sorted(end.delivery.partly.items())
        if self.role == BOB:
            return shared, sorted(end.running), sorted(end.waiting)
        running = sorted((job, run.bits, run.endpoint) for job, run in end.book.running.items())
        formed = sorted((job, heard.SerializeToString()) for job, heard in end.book.formed.items())
        return shared, running, formed, sorted(end.wanted.items()), end.sent, end.stalled

    def _restore(self, volatile: Any) -> None:
        end = self.end
        (lows, partly), *rest = volatile
        end.lows, end.delivery.partly = dict(lows), dict(partly)
        if self.role == BOB:
            end.running, end.waiting = set(rest[0]), set(rest[1])
            return
        running, formed, wanted, end.sent, end.stalled = rest
        end.book.running = {job: Running(bits, endpoint) for job, bits, endpoint in running}
        end.book.formed = {job: wire.Formed.FromString(heard) for job, heard in formed}
        end.wanted = dict(wanted)


def _facts(end: Any, rows: dict[str, list[Any]]) -> Facts:
    bits = dict(rows["material"])
    chunks = []
    for number, _, sid, first, count, size, _, available, _, _ in rows["chunk"]:
        for n in range(count):
            chunks.append((sid, first + n, bits[number][n * size : (n + 1) * size], available is not None))
    running = end.book.running if isinstance(end, Arbiter) else end.running
    return Facts(
        epoch=end.link.epoch,
        fid=end.link.fid,
        seq=end.link.seq,
        applied=end.link.applied,
        jobs=tuple((row[1], bool(row[2])) for row in rows["job"]),
        blocks=tuple((row[1], row[5]) for row in rows["block"]),
        ledger=tuple(row[1] for row in rows["ledger"]),
        reservoir=tuple(sorted((row[2], row[3], row[4], row[7]) for row in rows["reservoir"])),
        streams=tuple(end.tables.streams()),
        opens=tuple(end.tables.opens()),
        chunks=tuple(chunks),
        running=frozenset(running),
    )


class Reader(NamedTuple):
    """A key manager's association. Its store survives everything here."""

    ksid: bytes
    oid: bytes
    sid: Sid | None = None
    low: int = 0
    done: tuple[int, ...] = ()

    def has(self, index: int) -> bool:
        """Tell whether an index is delivered or expired."""
        return index < self.low or index in self.done

    def with_index(self, index: int) -> Reader:
        """Add an index."""
        done = set(self.done) | {index}
        low = self.low
        while low in done:
            done.remove(low)
            low += 1
        return self._replace(low=low, done=tuple(sorted(done)))


class Hand(NamedTuple):
    """A block that an exchange has formed and keysync does not have yet."""

    side: int
    epoch: Epoch
    job: int
    number: int


@dataclass(frozen=True)
class State:
    """The whole world, as a value. `budget`: how often what may still happen."""

    ends: tuple[int, int]
    post: frozenset[tuple[int, bytes]] = frozenset()
    hands: frozenset[Hand] = frozenset()
    readers: tuple[tuple[Reader, ...], tuple[Reader, ...]] = ((), ())
    truth: frozenset[Named] = frozenset()
    delivered: tuple[frozenset[Named], frozenset[Named]] = (frozenset(), frozenset())
    fresh: int = 1
    runs: int = 0
    budget: tuple[tuple[str, int], ...] = ()
    lost_in: frozenset[Epoch] = frozenset()  # epochs that both ends were in when one of them lost its store
    lost_by: frozenset[int] = frozenset()
    put_back: tuple[int, ...] = ()  # whose store was put back: some checks wait until all is at rest


Action = tuple[Any, ...]


@dataclass
class World:
    """The actions, the invariants, and the way to rest."""

    rules: Rules = field(default_factory=lambda: Rules(block_bits=48, jobs=1, window_bytes=16, reservoir_bits=0))
    arbiter: type[Any] = Arbiter
    follower: type[Any] = Follower
    flight: int = 2  # messages under way at once

    def __post_init__(self) -> None:
        self.labs = (Lab(ALICE, self.rules, self.arbiter), Lab(BOB, self.rules, self.follower))
        self.copies: list[tuple[int, int]] = []  # (side, state): stores that may be put back

    # --- states

    def empty(self, **budget: int) -> State:
        """Both ends just started on fresh stores."""
        state = State((self.labs[0].empty, self.labs[1].empty), budget=tuple(sorted(budget.items())))
        for side in (ALICE, BOB):
            state = self.step(state, side, "start")[0]
        return state

    def paired(self, **budget: int) -> State:
        """Both ends agree on an epoch and hold one stream."""
        state = self.empty(**budget)
        for side in (ALICE, BOB):
            state = self.open(state, side, b"k" * 16)
        return self.settle(state, tidy=False)

    def facts(self, state: State) -> tuple[Facts, Facts]:
        """Return what is to be said of both ends."""
        return self.labs[0].facts[state.ends[0]], self.labs[1].facts[state.ends[1]]

    def step(self, state: State, side: int, name: str, *args: Any) -> tuple[State, Any]:
        """One end takes a step; its messages go under way."""
        outcome, drew = self.labs[side].step(state.ends[side], state.fresh, name, *args)
        ends = (outcome.state, state.ends[1]) if side == ALICE else (state.ends[0], outcome.state)
        post = state.post.union((1 - side, message) for message in outcome.messages)
        return replace(state, ends=ends, post=post, fresh=state.fresh + drew), outcome.answer

    # --- actions

    def actions(self, state: State) -> Iterator[Action]:
        """Go through all that may happen next."""
        budget = dict(state.budget)
        a, f = self.facts(state)
        for letter in sorted(state.post):
            yield "deliver", letter
            yield "lose", letter
            if budget.get("again"):
                yield "again", letter
        if len(state.post) < self.flight:
            yield "tick", ALICE
            yield "tick", BOB
        if budget.get("job") and a.fid and sum(not formed for _, formed in a.jobs) < self.rules.jobs:
            yield ("plan",)
        held = {(hand.side, hand.epoch, hand.job) for hand in state.hands}
        if a.epoch == f.epoch:
            for job in sorted(a.running & f.running):
                if not {(ALICE, a.epoch, job), (BOB, a.epoch, job)} & held:
                    yield "exchange", job
        for hand in sorted(state.hands):
            yield "block", hand
        for side, facts in ((ALICE, a), (BOB, f)):
            for fault in ("crash", "lost", "expire"):
                if budget.get(fault) and (fault != "lost" or state.put_back in ((), (side,))):
                    yield fault, side
            if budget.get("fail"):
                for job in sorted(facts.running):
                    yield "fail", side, job
            for n, reader in enumerate(state.readers[side]):
                yield "read", side, n, False
                if budget.get("skip"):
                    yield "read", side, n, True
                if budget.get("close"):
                    yield "close", side, n
            if budget.get(f"open{side}"):
                for ksid in (b"k" * 16, b"l" * 16)[: budget.get("names", 1)]:
                    if all(reader.ksid != ksid for reader in state.readers[side]):
                        yield "open", side, ksid
        if budget.get("late"):
            yield ("late",)
        if budget.get("back"):
            for side, copy in self.copies:
                # Nobody can notice that both ends go back together.
                if state.put_back in ((), (side,)) and not state.lost_by - {side}:
                    yield "back", side, copy

    def act(self, state: State, action: Action) -> State:
        """Let something happen, and check what must always hold."""
        name, *args = action
        state = _spend(state, {"plan": "job"}.get(name, name), args)
        state = getattr(self, "on_" + name)(state, *args)
        return self.check(state)

    def on_deliver(self, state: State, letter: tuple[int, bytes]) -> State:
        return self.step(replace(state, post=state.post - {letter}), letter[0], "hear", letter[1])[0]

    def on_again(self, state: State, letter: tuple[int, bytes]) -> State:
        return self.step(state, letter[0], "hear", letter[1])[0]

    def on_lose(self, state: State, letter: tuple[int, bytes]) -> State:
        return replace(state, post=state.post - {letter})

    def on_tick(self, state: State, side: int) -> State:
        return self.step(state, side, "tick")[0]

    def on_late(self, state: State) -> State:
        return self.step(state, ALICE, "tick", True)[0]

    def on_plan(self, state: State) -> State:
        return self.step(state, ALICE, "plan")[0]

    def on_exchange(self, state: State, job: int) -> State:
        epoch = self.facts(state)[0].epoch
        both = {Hand(side, epoch, job, state.runs + 1) for side in (ALICE, BOB)}
        return replace(state, hands=state.hands | both, runs=state.runs + 1)

    def on_block(self, state: State, hand: Hand) -> State:
        state = replace(state, hands=state.hands - {hand})
        return self.step(state, hand.side, "block", hand.epoch, hand.job, hand.number)[0]

    def on_fail(self, state: State, side: int, job: int) -> State:
        return self.step(state, side, "fail", self.facts(state)[side].epoch, job)[0]

    def on_crash(self, state: State, side: int) -> State:
        hands = frozenset(hand for hand in state.hands if hand.side != side)
        return self.step(replace(state, hands=hands), side, "start")[0]

    def on_lost(self, state: State, side: int) -> State:
        a, f = self.facts(state)
        state = replace(state, lost_by=state.lost_by | {side})
        if a.epoch == f.epoch and a.fid == f.fid:
            state = replace(state, lost_in=state.lost_in | {a.epoch})
        return self.on_crash(self._put(state, side, self.labs[side].empty), side)

    def on_back(self, state: State, side: int, copy: int) -> State:
        return self.on_crash(self._put(replace(state, put_back=(side,), lost_in=frozenset()), side, copy), side)

    def _put(self, state: State, side: int, number: int) -> State:
        return replace(state, ends=(number, state.ends[1]) if side == ALICE else (state.ends[0], number))

    def on_expire(self, state: State, side: int) -> State:
        return self.step(state, side, "expire")[0]

    def on_open(self, state: State, side: int, ksid: bytes) -> State:
        return self.open(replace(state, fresh=state.fresh + 1), side, ksid)

    def open(self, state: State, side: int, ksid: bytes) -> State:
        """A key manager opens."""
        oid = ksid[:1] + b"ab"[side : side + 1] + state.fresh.to_bytes(14, "little")
        state = self._with_readers(state, side, (*state.readers[side], Reader(ksid, oid)))
        return self.step(replace(state, fresh=state.fresh + 1), side, "open", ksid, oid)[0]

    def on_close(self, state: State, side: int, n: int) -> State:
        reader = state.readers[side][n]
        state = self._with_readers(state, side, tuple(r for r in state.readers[side] if r != reader))
        return self.step(state, side, "close", reader.oid)[0]

    def _with_readers(self, state: State, side: int, readers: tuple[Reader, ...]) -> State:
        both = (readers, state.readers[1]) if side == ALICE else (state.readers[0], readers)
        return replace(state, readers=both)

    def on_read(self, state: State, side: int, n: int, last: bool) -> State:
        """A key manager takes, and an application fetches one key: the first, or the last."""
        reader = state.readers[side][n]
        state, answer = self.step(state, side, "take", reader.oid, reader.low, reader.done)
        taken = wire.Taken.FromString(answer)
        others = tuple(r for r in state.readers[side] if r != reader)
        if taken.state == wire.GONE:
            return self._with_readers(state, side, others)
        if taken.state == wire.WAITING:
            return state
        sid = (taken.sid.epoch.n, taken.sid.epoch.r, taken.sid.seq)
        reader = reader._replace(sid=reader.sid or sid)
        while reader.low < taken.floor:
            reader = reader.with_index(reader.low)
        keys = dict(_keys(taken)) if sid == reader.sid else {}
        fresh = sorted(index for index in keys if not reader.has(index))
        if fresh:
            index = fresh[-1] if last else fresh[0]
            reader = reader.with_index(index)
            state = self._delivered(state, side, reader.ksid, (sid, index, keys[index]))
        return self._with_readers(state, side, tuple(sorted((*others, reader))))

    def _delivered(self, state: State, side: int, ksid: bytes, key: Named) -> State:
        if any(known[:2] == key[:2] for known in state.delivered[side]):
            raise Broken("I3: an index twice at one end")
        sids = {s.sid: s.ksid for facts in self.facts(state) for s in facts.streams}
        for sid, _, _ in state.delivered[0] | state.delivered[1]:
            if sid > key[0] and sid[:2] == key[0][:2] and sids.get(sid[2]) == ksid:
                raise Broken("I1: a key of an older incarnation")
        one = state.delivered[side] | {key}
        delivered = (one, state.delivered[1]) if side == ALICE else (state.delivered[0], one)
        return replace(state, delivered=delivered)

    # --- invariants

    def check(self, state: State, *, rest: bool = False) -> State:
        """Check I1, I2, I3, I5, and I7 the other way round; return the state with what is now known about chunks."""
        if self.facts(state)[ALICE].epoch.n > 1 and not state.lost_by and not state.put_back:
            raise Broken("I7: a new epoch without need")
        truth = {(sid, index): bits for sid, index, bits in state.truth}
        known = len(truth)
        for side, facts in enumerate(self.facts(state)):
            seen: dict[bytes, Any] = {}
            for place, bits in _places(facts):
                for piece in _pieces(bits):
                    if seen.setdefault(piece, place) != place:
                        raise Broken("I2: the same bits in two places")
            for seq, index, bits, available in facts.chunks:
                if available and truth.setdefault((facts.sid(seq), index), bits) != bits:
                    raise Broken("I1: two keys for one index")
            if rest or not state.put_back:
                self._check_dense(state, side, facts)
        for side in (ALICE, BOB):
            for sid, index, bits in state.delivered[side]:
                if truth.setdefault((sid, index), bits) != bits:
                    raise Broken("I1: two keys for one index")
        self._check_names(state, truth, pools=rest or not state.put_back)
        if len(truth) == known:
            return state
        return replace(state, truth=frozenset((sid, index, bits) for (sid, index), bits in truth.items()))

    def _check_names(self, state: State, truth: dict[tuple[Sid, int], bytes], *, pools: bool) -> None:
        names: dict[bytes, tuple[Sid, int]] = {}
        for name, bits in truth.items():
            for piece in _pieces(bits):
                if names.setdefault(piece, name) != name:
                    raise Broken("I2: the same bits under two names")
        if not pools:
            return
        given = {piece for side in (0, 1) for _, _, bits in state.delivered[side] for piece in _pieces(bits)}
        for facts in self.facts(state):
            for place, bits in _places(facts):
                if place[0] != "chunk" and given.intersection(_pieces(bits)):
                    raise Broken("I2: delivered bits are in a pool")

    def _check_dense(self, state: State, side: int, facts: Facts) -> None:
        readers = {reader.oid: reader for reader in state.readers[side]}
        for row in facts.opens:
            stream = next((s for s in facts.streams if s.sid == row.sid), None)
            reader = readers.get(row.oid)
            if stream is None or reader is None:
                continue
            have = [index for sid, index, _, _ in facts.chunks if sid == row.sid]
            if len(have) != len(set(have)) or any(index >= stream.next_index for index in have):
                raise Broken("I5: an index cut twice")
            for index in range(stream.next_index):
                if index not in have and index >= row.floor and not reader.has(index):
                    raise Broken("I5: an index that nobody has")

    # --- rest

    def settle(self, state: State, *, tidy: bool = True) -> State:
        """Let faults stop and everything run to rest."""
        quiet = 0
        for turn in range(40):
            before = state.ends, state.readers, state.hands
            state = self._deliver_all(state)
            state = self._finish_exchanges(state)
            if tidy:
                state = self._read_all(state)
            state = self.step(state, ALICE, "tick", tidy and turn == 6)[0]
            state = self.step(state, BOB, "tick")[0]
            quiet = quiet + 1 if before == (state.ends, state.readers, state.hands) else 0
            if quiet >= 3 and turn > 9:
                return self.check(self._deliver_all(state))
        raise Broken("I4: no rest")

    def _deliver_all(self, state: State) -> State:
        for _ in range(400):
            if not state.post:
                return state
            state = self.check(self.on_deliver(state, min(state.post)))
        raise Broken("I4: messages without end")

    def _finish_exchanges(self, state: State) -> State:
        for action in list(self.actions(replace(state, budget=()))):
            if action[0] == "exchange":
                state = self.on_exchange(state, action[1])
        for hand in sorted(state.hands):
            state = self.check(self.on_block(state, hand))
        return state

    def _read_all(self, state: State) -> State:
        for side in (ALICE, BOB):
            held = {reader.oid for reader in state.readers[side]}
            for row in self.facts(state)[side].opens:
                if row.oid not in held:  # list_opens: close what the key manager does not hold
                    state = self.step(state, side, "close", row.oid)[0]
            for oid in sorted(held):
                for _ in range(30):
                    n = next((n for n, r in enumerate(state.readers[side]) if r.oid == oid), None)
                    if n is None:
                        break
                    before = state
                    state = self.check(self.on_read(state, side, n, False))
                    if before == state:
                        break
            state = self.step(state, side, "sweep")[0]
        return state

    def check_rest(self, state: State, began: State) -> None:
        """Check I4, I6, I7 of a state at rest; `began`: from which state faults stopped."""
        a, f = self.facts(state)
        if a.epoch != f.epoch or a.fid != f.fid or not a.fid:
            raise Broken("I4: no common epoch")
        if not a.seq == a.applied == f.applied or a.ledger or a.jobs:
            raise Broken("I4: the ledger is not empty")
        if a.blocks or f.blocks:
            raise Broken("I4: a block is left")
        if a.reservoir != f.reservoir or a.streams != f.streams:
            raise Broken("I4: the ends differ")
        if a.epoch in began.lost_in:
            raise Broken("I7: a store was lost and the epoch went on")
        self.check(state, rest=True)
        for side, facts in enumerate((a, f)):
            given = {piece for _, _, bits in state.delivered[side] for piece in _pieces(bits)}
            for place, bits in _places(facts):
                if given.intersection(_pieces(bits)):
                    raise Broken("I6: delivered bits are still there")
                if place[0] == "chunk" and all(row.sid != place[1] for row in facts.opens):
                    raise Broken("I6: closed bits are still there")
                floor = next((row.floor for row in facts.opens if row.sid == place[1]), 0)
                if place[0] == "chunk" and place[2] < floor:
                    raise Broken("I6: expired bits are still there")

    # --- searches

    def breadth_first(self, start: State, most: int, settle_share: int = 10) -> int:
        """Visit up to `most` states, nearest first; settle one of `settle_share`. Return how many."""
        seen = {start}
        frontier = [start]
        while frontier:
            following: list[State] = []
            for state in frontier:
                for action in self.actions(state):
                    after = self.act(state, action)
                    if after in seen:
                        continue
                    seen.add(after)
                    following.append(after)
                    if len(seen) % settle_share == 0:
                        self.check_rest(self.settle(after), after)
                    if len(seen) >= most:
                        return len(seen)
            frontier = following
        return len(seen)

    def walk(self, start: State, seed: int, steps: int, weights: dict[str, float] | None = None) -> State:
        """Walk at random, keep copies of stores, settle at the end."""
        dice = random.Random(seed)
        weights = {**WEIGHTS, **(weights or {})}
        state = start
        self.copies.clear()
        for number in range(steps):
            actions = list(self.actions(state))
            state = self.act(state, dice.choices(actions, [weights.get(a[0], 1.0) for a in actions])[0])
            if number % 25 == 0:
                side = dice.randrange(2)
                self.copies.append((side, state.ends[side]))
        self.check_rest(self.settle(state), state)
        return state


def _spend(state: State, name: str, args: list[Any]) -> State:
    if name == "open":
        name = f"open{args[0]}"
    if name == "read" and args[2]:
        name = "skip"
    budget = tuple((what, left - 1 if what == name else left) for what, left in state.budget)
    return replace(state, budget=budget)


def _keys(taken: wire.Taken) -> Iterator[tuple[int, bytes]]:
    for run in taken.runs:
        for n in range(run.count):
            yield run.first + n, run.bits[n * CHUNK : (n + 1) * CHUNK]


def _places(facts: Facts) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    for job, bits in facts.blocks:
        yield ("block", job), bits
    for run, start, _, bits in facts.reservoir:
        yield ("reservoir", run, start), bits
    for sid, index, bits, _ in facts.chunks:
        yield ("chunk", sid, index), bits


def _pieces(bits: bytes) -> Iterable[bytes]:
    return {bits[n : n + PIECE] for n in range(0, len(bits), PIECE)}


@pytest.fixture
def explore() -> Callable[..., World]:
    return World


@pytest.fixture
def broken() -> type[Broken]:
    return Broken
