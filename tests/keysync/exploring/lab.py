"""One end of the link in a laboratory: each of its states has a number, each step is carried out once.

A step from a known state is remembered, so that searches may go back to any state at no cost. Blocks are 3 pieces
of 16 bits, all different; chunks are 2 pieces: remainders pass through the reservoir.
"""

from __future__ import annotations

import pickle
import sqlite3
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keysync.arbiter import Arbiter
from qkdbus_keysync.effects import JobKey
from qkdbus_keysync.end import Rules
from qkdbus_keysync.jobbook import Running
from qkdbus_keysync.rows import Block, Epoch
from qkdbus_keysync.store import Store, create

NOW, SOON, LATER = 1_000.0, 1_001.5, 1_000_000.0  # SOON: a block has waited for the other end's, and nothing is over
PIECE, CHUNK = 2, 4  # octets
TABLES = {
    "link": "", "job": "", "block": "", "ledger": "", "chain": "", "stream": "", "used_oid": "", "open": "",
    "reservoir": "id", "chunk": "id", "material": "id",
}  # fmt: skip
ALICE, BOB = 0, 1  # arbiter, follower

Sid = tuple[int, int, int]  # epoch n, r, seq


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
        end = self.kind(self.store, "peer", self.rules, self._token)
        if isinstance(end, Arbiter):
            end.book.proved = True  # exchanges run side by side from the first one on
        return end

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

    def do_tick(self, when: float = NOW) -> None:
        self.end.tick(when)

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

    def do_asked(self, request: bytes) -> bytes:
        """A take of the key manager's own making."""
        taken = self.end.take(wire.Take.FromString(request))
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
        running, unmatched = (
            sorted((job, astuple(run)) for job, run in book.items()) for book in (end.book.running, end.book.unmatched)
        )
        formed = sorted((job, heard.SerializeToString()) for job, heard in end.book.formed.items())
        taken = sorted(end.book.taken)
        return shared, running, unmatched, formed, taken, sorted(end.wanted.items()), end.sent, end.stalled

    def _restore(self, volatile: Any) -> None:
        end = self.end
        (lows, partly), *rest = volatile
        end.lows, end.delivery.partly = dict(lows), dict(partly)
        if self.role == BOB:
            end.running, end.waiting = set(rest[0]), set(rest[1])
            return
        running, unmatched, formed, taken, wanted, end.sent, end.stalled = rest
        end.book.running = {job: Running(*run) for job, run in running}
        end.book.unmatched = {job: Running(*run) for job, run in unmatched}
        end.book.formed = {job: wire.Formed.FromString(heard) for job, heard in formed}
        end.book.taken = set(taken)
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
