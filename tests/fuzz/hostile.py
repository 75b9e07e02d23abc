"""One honest end of a link in a store of its own, and whatever the neighbour may make of it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from typing import Any

from benchmarks.fuzz.mutator import Mutator
from google.protobuf.message import DecodeError

from qkdbus.wire import keysync_pb2 as wire
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_keysync import entries
from qkdbus_keysync.arbiter import Arbiter
from qkdbus_keysync.effects import JobKey, RunJob
from qkdbus_keysync.end import End, Rules
from qkdbus_keysync.entries import next_chain
from qkdbus_keysync.follower import Follower
from qkdbus_keysync.rows import NO_EPOCH, Block, Epoch, Piece
from qkdbus_keysync.sane import sane
from qkdbus_keysync.store import Store, create

CHUNK, BLOCK_BITS = 16, 1024  # octets, bits
WINDOW = 64  # bits that never come twice by chance
RULES = Rules(block_bits=BLOCK_BITS, jobs=2, window_bytes=512, reservoir_bits=2048, patience_per_bit=0.0)
RECORD = BlockRecord(qber=0.01).SerializeToString()
NOBODYS = b"\xee" * 16


class Delivered:
    """Keys that the honest node has handed up: none twice, no bit in two of them, no bit of another link."""

    def __init__(self) -> None:
        self.keys: dict[tuple[Any, ...], bytes] = {}
        self._windows: dict[int, object] = {}

    def foreign(self, bits: bytes, whose: object) -> None:
        """Bits that no key of this link may have."""
        for window in _windows(bits):
            self._windows[window] = whose

    def note(self, name: tuple[Any, ...], bits: bytes) -> None:
        """Take note of a key."""
        if name in self.keys:
            assert self.keys[name] == bits, f"two keys under {name}"
            return
        self.keys[name] = bits
        for window in _windows(bits):
            assert self._windows.setdefault(window, name) == name, (
                f"bits of {self._windows[window]} are in {name} as well"
            )


def _windows(bits: bytes) -> list[int]:
    value = int.from_bytes(bits, "little")
    return [value >> at & (1 << WINDOW) - 1 for at in range(8 * len(bits) - WINDOW + 1)]


class HonestNode:
    """The keysync of a node, with an honest link (to Alice) and one to a neighbour that means ill.

    `end` is the end of the latter. Every step goes as in the service: a transaction, and a commit.
    """

    def __init__(self, seed: int, *, arbiter: bool) -> None:
        self.dice = random.Random(seed)
        self.mutator = Mutator(seed)
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.store = Store(connection)
        create(self.store)
        self.now = 1_000.0
        self.delivered = Delivered()
        self.said: list[wire.Reconcile] = []
        self.alice = Follower(self.store, "Alice", RULES, self.dice.randbytes)
        kind = Arbiter if arbiter else Follower
        self.end: End = kind(self.store, "Aaron", RULES, self.dice.randbytes)
        self.lows: dict[bytes, int] = {}  # of associations that the honest key manager holds
        self._alices()
        self.step(lambda: self.end.start(self.now))

    def step(self, what: Callable[[], Any]) -> Any:
        """Do something in a transaction of its own."""
        with self.store.step():
            done = what()
        self.store.commit()
        effects = self.end.drain()
        self.said = (self.said + effects.messages)[-50:]
        for message in effects.messages:
            self.mutator.learn_from(message)
        for run in effects.runs:
            self._form(run)
        return done

    def hear(self, message: wire.Reconcile) -> None:
        """Hear the neighbour."""
        if sane(message, self.end.link.epoch.n):
            self.step(lambda: self.end.hear(message, self.now))

    def hear_octets(self, octets: bytes) -> None:
        """Hear what may be no message at all."""
        try:
            message = wire.Reconcile.FromString(octets)
        except DecodeError:
            return
        self.hear(message)

    def here(self, **kind: Any) -> wire.Reconcile:
        """Return a message that is of this epoch, and from the neighbour as it is known."""
        link = self.end.link
        return wire.Reconcile(epoch=link.epoch.message(), fid=link.fid or 7, **kind)

    def commit_of(self, entry: wire.Entry | bytes) -> wire.Reconcile:
        """Return the commit of an entry that follows all that was decided before."""
        link, packed = self.end.link, entry if isinstance(entry, bytes) else entry.SerializeToString()
        seq = link.applied + 1
        return self.here(commit=wire.Commit(seq=seq, entry=packed, chain=next_chain(link.chain, seq, packed)))

    def _form(self, run: RunJob) -> None:
        """Let an exchange succeed, mostly, and at once."""
        if self.dice.random() < 0.8:
            length = min(run.bits, BLOCK_BITS) or 1
            block = Block(run.key.job, self.dice.randbytes(16), length, RECORD, self.dice.randbytes((length + 7) // 8))
            if length % 8:
                block.bits = block.bits[:-1] + bytes((block.bits[-1] & (1 << length % 8) - 1,))
            self.step(lambda: self.end.own_block(run.key, block, self.now))
        elif self.dice.random() < 0.5:
            self.step(lambda: self.end.job_failed(run.key, "dark"))

    # -- what the honest node itself does
    def open(self) -> bytes:
        """Have the key manager open a stream."""
        ksid, oid = self.dice.randbytes(16), self.dice.randbytes(16)
        asked = wire.OpenStream(ksid=ksid, oid=oid, peer="Aaron", chunk_size=CHUNK)
        self.step(lambda: self.end.open_stream(asked, self.now))
        self.lows[oid] = 0
        self.mutator.learn(oid=[oid], ksid=[ksid], oid_a=[oid], oid_f=[oid])
        return oid

    def close(self) -> None:
        """Have it close one."""
        oid = self.dice.choice(list(self.lows))
        del self.lows[oid]
        self.step(lambda: self.end.close_stream(oid, self.now))

    def take(self) -> None:
        """Have it take keys, and acknowledge some."""
        oid = self.dice.choice(list(self.lows))
        taken = self.step(lambda: self.end.take(wire.Take(oid=oid, low=self.lows[oid], max_bytes=1 << 16)))
        if taken.state == wire.GONE:
            del self.lows[oid]
            return
        for run in taken.runs:
            assert len(run.bits) == run.count * CHUNK, "keys of another size than agreed"
            for n in range(run.count):
                name = (oid, run.first + n)
                if run.first + n >= self.lows[oid]:
                    self.delivered.note(name, run.bits[n * CHUNK : (n + 1) * CHUNK])
                else:
                    raise AssertionError(f"{name} was delivered, and comes again")
        if taken.runs and self.dice.random() < 0.7:
            self.lows[oid] = taken.runs[-1].first + taken.runs[-1].count

    def live(self) -> None:
        """Do one thing that an honest node does by itself."""
        chance = self.dice.random()
        if chance < 0.3 and len(self.lows) < 6:
            self.open()
        elif chance < 0.8 and self.lows:
            self.take()
        elif chance < 0.85 and self.lows:
            self.close()
        elif chance < 0.95:
            self.step(lambda: self.end.plan(self.now, may_start=True))
        else:
            self.now += self.dice.choice((0.1, 1.0, 1.0, 5.0))
            self.step(self.end.sweep)
            self.step(lambda: self.end.tick(self.now))

    # -- the link to Alice
    def _alices(self) -> None:
        """Let the honest link have a block, a stream with chunks, and something in the reservoir."""
        end, self.alices_oid = self.alice, self.dice.randbytes(16)
        epoch = Epoch(1, 99)

        def all_of_it() -> None:
            end.start(self.now)
            end.hear(wire.Reconcile(epoch=epoch.message(), begin=wire.Begin()), self.now)
            ksid = self.dice.randbytes(16)
            asked = wire.OpenStream(ksid=ksid, oid=self.alices_oid, peer="Alice", chunk_size=CHUNK)
            end.open_stream(asked, self.now)
            self._say_alice(entries.open_entry(epoch, 1, ksid, NOBODYS, self.alices_oid, CHUNK))
            for job in (1, 2):
                prepare = wire.Prepare(job=job, bits=BLOCK_BITS, endpoint="tcp://x")
                end.hear(self._of_alice(prepare=prepare), self.now)
                bits = self.dice.randbytes(BLOCK_BITS // 8)
                self.delivered.foreign(bits, "Alice")
                end.own_block(JobKey(epoch, job), Block(job, bytes((job,)) * 16, BLOCK_BITS, RECORD, bits), self.now)
            piece = Piece(b"\x01" * 16, 0, BLOCK_BITS)
            rest = [Piece(piece.run, 8 * 3 * CHUNK, BLOCK_BITS - 8 * 3 * CHUNK)]
            self._say_alice(entries.alloc_entry(epoch, (1, piece), [piece], [(1, 0, 3, CHUNK)], rest))

        with self.store.step():
            all_of_it()
        self.store.commit()
        end.drain()
        assert end.link.applied == 2 and end.link.epoch == epoch
        self.mutator.learn(run=[b"\x01" * 16, b"\x02" * 16], oid_f=[self.alices_oid], job=[1, 2])
        self.before = self.of_alice()

    def _of_alice(self, **kind: Any) -> wire.Reconcile:
        return wire.Reconcile(epoch=self.alice.link.epoch.message(), fid=self.alice.link.fid, **kind)

    def _say_alice(self, entry: wire.Entry) -> None:
        link, packed = self.alice.link, entry.SerializeToString()
        seq = link.applied + 1
        commit = wire.Commit(seq=seq, entry=packed, chain=next_chain(link.chain, seq, packed))
        self.alice.hear(self._of_alice(commit=commit), self.now)

    def of_alice(self) -> dict[str, list[Any]]:
        """Return all that the store holds of the honest link."""
        tables = ("link", "block", "reservoir", "stream", "open", "chunk", "chain")
        found = {name: self.store.read(f"SELECT * FROM {name} WHERE peer='Alice'").fetchall() for name in tables}
        bits = "SELECT bits FROM material WHERE id IN (SELECT id FROM chunk WHERE peer='Alice')"
        return {**found, "material": self.store.read(bits).fetchall()}

    def rows(self) -> int:
        """Return how many rows there are in all tables but those of the honest link."""
        tables = ("link", "job", "block", "ledger", "chain", "reservoir", "stream", "used_oid", "open", "chunk")
        return sum(self.store.read(f"SELECT count(*) FROM {name} WHERE peer<>'Alice'").fetchone()[0] for name in tables)


class HostileArbiter:
    """Decides whatever it likes, with chains that are right."""

    def __init__(self, node: HonestNode) -> None:
        self.node, self.dice, self._jobs = node, node.dice, 0
        self.kinds = (*[self.entry] * 8, *[self.prepare] * 6, self.small, self.twisted)

    def __call__(self) -> None:
        """Say one thing."""
        if self.node.end.link.epoch == NO_EPOCH or self.dice.random() < 0.002:
            epoch = wire.Epoch(n=self.node.end.link.epoch.n + 1, r=self.dice.getrandbits(64))
            self.node.hear(wire.Reconcile(epoch=epoch, begin=wire.Begin()))
        else:
            self.dice.choice(self.kinds)()

    def prepare(self) -> None:
        """Have a block formed."""
        self._jobs += 1
        bits = self.dice.choice((1, 100, 1000, BLOCK_BITS, BLOCK_BITS, 2**40, 2**61))
        job = self._jobs if self.dice.random() < 0.9 else self.dice.randrange(1 << 61)
        self.node.hear(self.node.here(prepare=wire.Prepare(job=job, bits=bits, endpoint="tcp://x")))

    def small(self) -> None:
        """Beat, drop, or begin."""
        link, dice = self.node.end.link, self.dice
        jobs = [job for job, _, _ in self.node.end.material.block_names()] or [1]
        run = self.node.end.material.block_name(jobs[0])
        drop = wire.Drop(job=dice.choice(jobs), run=run[0] if run and dice.random() < 0.5 else b"")
        acked = dice.choice((link.applied, 0, link.applied, max(0, link.applied - 1)))
        chain = self.node.end.tables.chain(acked) or b""
        self.node.hear(self.node.here(**dice.choice(({"drop": drop}, {"beat": wire.Beat(acked=acked, chain=chain)}))))

    def twisted(self) -> None:
        """Say something real, twisted."""
        self.node.hear_octets(self.node.mutator.body(wire.Reconcile))

    def entry(self) -> None:
        """Decide something."""
        entry = self.dice.choice((self._open, self._close, self._alloc, self._alloc, self._alloc))()
        packed: wire.Entry | bytes = entry
        self.node.mutator.learn_from(entry)
        if self.dice.random() < 0.03:
            packed = self.node.mutator.body(wire.Entry)
        self.node.hear(self.node.commit_of(packed))

    def _open(self) -> wire.Entry:
        end, dice = self.node.end, self.dice
        rows = end.tables.opens_unpaired()
        row = dice.choice(rows) if rows else None
        oid = row.oid if row and dice.random() < 0.9 else dice.choice((self.node.alices_oid, NOBODYS))
        size = CHUNK if dice.random() < 0.9 else dice.choice((0, 1, 17, 2**31))
        ksid = row.ksid if row and dice.random() < 0.9 else NOBODYS
        seq = end.link.applied + (1 if dice.random() < 0.97 else 2)
        return entries.open_entry(end.link.epoch, seq, ksid, NOBODYS, oid, size)

    def _close(self) -> wire.Entry:
        streams = self.node.end.tables.streams()
        sid = self.dice.choice(streams).sid if streams else 1
        return entries.close_entry(self.node.end.link.epoch, sid, follower=self.dice.random() < 0.5)

    def _alloc(self) -> wire.Entry:
        end, dice = self.node.end, self.dice
        blocks = end.material.block_names()
        pool = [piece for piece, _ in end.material.reservoir()][: dice.choice((0, 1, 3))]
        block = None
        if blocks and dice.random() < 0.9:
            job, run, length = dice.choice(blocks)
            block = (job, Piece(run, 0, length))
            pool.insert(0, block[1])
        left, cuts = sum(piece.length for piece in pool), []
        for stream in end.tables.streams():
            count = dice.randrange(1 + min(6, left // (8 * (stream.chunk_size or 1))))
            if count:
                cuts.append((stream.sid, stream.next_index, count, stream.chunk_size))
                left -= 8 * count * stream.chunk_size
        used = sum(8 * count * size for _, _, count, size in cuts)
        rest = entries.rest_of(pool, used, 1 << 20)
        if dice.random() < 0.12:
            cuts, pool, rest = self._cheat(cuts, pool, rest)
        return entries.alloc_entry(end.link.epoch, block, pool, cuts, rest)

    def _cheat(
        self, cuts: list[Any], pool: list[Piece], rest: list[Piece]
    ) -> tuple[list[Any], list[Piece], list[Piece]]:
        """Use bits twice, name what is somebody else's, count wrongly."""
        dice = self.dice
        kind = dice.randrange(9)
        if kind == 0 and rest:  # the very same once more
            rest = [*rest, dice.choice(rest)]
        elif kind == 1 and rest:  # some of it once more, under another name
            piece = dice.choice(rest)
            skip = dice.randrange(1, max(2, piece.length))
            rest = [*rest, Piece(piece.run, piece.offset + skip, max(0, piece.length - skip))]
        elif kind == 2 and pool:  # what has been cut
            rest = [*rest, Piece(pool[0].run, pool[0].offset, dice.choice((8, 64, pool[0].length)))]
        elif kind == 3 and pool:
            pool = [*pool, dice.choice(pool)]
        elif kind == 4 and cuts:
            sid, first, count, size = dice.choice(cuts)
            first = max(0, first + dice.choice((-1, 1, 1 << 31)))
            cuts = [*cuts, (sid, first, count, size)]
        elif kind == 5:  # Alice's
            pool = [*pool, Piece(b"\x01" * 16, 8 * 3 * CHUNK, BLOCK_BITS - 8 * 3 * CHUNK)]
        elif kind == 6:
            pool = [*pool, Piece(b"\x02" * 16, 0, BLOCK_BITS)]
        elif kind == 7 and rest:  # nothing, by name
            rest = [*rest, Piece(rest[0].run, rest[0].offset, 0), Piece(rest[0].run, rest[0].offset, 0)]
        elif cuts:
            sid, first, count, size = cuts.pop()
            cuts.append((sid, first, dice.choice((count + 1, 0, 2**31)), dice.choice((size, size, 1, 0))))
        return cuts, pool, rest


class HostileFollower:
    """Says whatever it likes to an arbiter."""

    def __init__(self, node: HonestNode) -> None:
        self.node, self.dice = node, node.dice

    def __call__(self) -> None:
        """Say one thing."""
        node, dice = self.node, self.dice
        kind = dice.choice((self._ack, self._ack, self._formed, self._formed, self._failed, self._opens, self._closes))
        if dice.random() < 0.25:
            node.hear_octets(node.mutator.body(wire.Reconcile))
        else:
            node.hear(node.here(**kind()))

    def _ack(self) -> dict[str, Any]:
        link, dice = self.node.end.link, self.dice
        applied = dice.choice((link.seq, link.seq, link.seq, link.applied, dice.randrange(link.seq + 1)))
        if dice.random() < 0.005:
            applied = dice.choice((link.seq + 1, 2**61))
        ack = wire.Ack(applied=applied, chain=self.node.end.tables.chain(applied) or b"")
        for stream in [*self.node.end.tables.streams(), None, None]:
            sid = stream.sid if stream else dice.getrandbits(dice.choice((8, 60)))
            low = dice.choice((0, stream.next_index if stream else 5, 1 << 31))
            ack.lows.append(wire.LowMark(sid=entries.sid_message(link.epoch, sid), low=low))
        return {"ack": ack}

    def _formed(self) -> dict[str, Any]:
        blocks = self.node.end.material.block_names()
        if blocks and self.dice.random() < 0.8:
            job, run, length = self.dice.choice(blocks)
            if self.dice.random() < 0.9:
                return {"formed": wire.Formed(job=job, run=run, length=length)}
        jobs = self.node.end.tables.jobs()
        job = self.dice.choice(jobs).job if jobs else 1
        return {"formed": wire.Formed(job=job, run=NOBODYS, length=self.dice.choice((0, 8, 2**61)))}

    def _failed(self) -> dict[str, Any]:
        jobs = self.node.end.tables.jobs()
        job = self.dice.choice(jobs).job if jobs else self.dice.randrange(1 << 61)
        return {"failed": wire.Failed(job=job, reason="\x1b[2Jno", alarm=self.dice.choice(("", "QBER 0.5")))}

    def _opens(self) -> dict[str, Any]:
        rows, dice = self.node.end.tables.opens_unpaired(), self.dice
        ksid = dice.choice(rows).ksid if rows and dice.random() < 0.7 else dice.randbytes(16)
        size = CHUNK if dice.random() < 0.9 else dice.choice((0, 1, 2**31))
        return {"open_request": wire.OpenRequest(ksid=ksid, oid=dice.randbytes(16), chunk_size=size)}

    def _closes(self) -> dict[str, Any]:
        streams = self.node.end.tables.streams()
        sid = self.dice.choice(streams).sid if streams else 1
        if self.dice.random() < 0.8:
            sid = self.dice.getrandbits(60)
        return {"close_request": wire.CloseRequest(sid=entries.sid_message(self.node.end.link.epoch, sid))}
