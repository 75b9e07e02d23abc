"""The arbiter: decides, and writes the ledger (agreement, section 5, rows "A")."""

from __future__ import annotations

from qkdbus.wire import keysync_pb2 as wire

from . import entries
from .effects import Effects, JobKey, RunJob, StopJob
from .end import End, Rules, Token
from .entries import next_chain
from .jobbook import JobBook
from .planning import Planning
from .policy import Policy
from .rows import Block, Epoch, JobRow, OpenRow, Piece
from .store import Store

OID_REMEMBERED = 600.0  # s: no message is that late
UNMATCHED = 0.8  # s that a block waits for the follower's before the follower is asked once more
REQUEST_REMEMBERED = 3.0  # s: the follower asks again every second
MOST_WANTED = 4096  # requests at once; the oldest go first, whatever the follower asks


class Arbiter(End):
    """The end that decides.

    Volatile: exchanges under way (`book`), the follower's low marks, its latest open requests, and how far
    commits have been sent since they were last known to arrive.
    """

    arbiter = True

    def __init__(self, store: Store, peer: str, rules: Rules, token: Token, policy: Policy | None = None) -> None:
        super().__init__(store, peer, rules, token)
        self.book = JobBook()
        self.planning = Planning(self.tables, self.material, policy)
        self.lows: dict[int, int] = {}
        self.wanted: dict[bytes, tuple[bytes, int, float]] = {}
        self.sent = 0
        self.stalled = -1  # `applied` at the last tick: when it has not moved, commits are sent again

    # --- life

    def start(self, now: float) -> None:
        """Jobs that were PREPARED die; a ledger with a hole in it ends the epoch."""
        if not self._load():
            self._new_epoch(self.link.epoch.n, "fresh store")
            return
        unacknowledged = list(range(self.link.applied + 1, self.link.seq + 1))
        if self.tables.entry_numbers() != unacknowledged:
            self._new_epoch(self.link.epoch.n, "ledger incomplete")
            return
        for row in self.tables.jobs():
            if not row.formed:
                self.tables.delete_job(row.job)
        self._derive_closes(now)
        self.sent = self.link.applied
        self._greet()
        self._send_commits()

    def tick(self, now: float) -> None:
        """Send `begin` or `beat`, commits that do not get through, prepares; end jobs past their deadline."""
        self.replan = True
        self._derive_closes(now)
        self._greet()
        if self.link.seq > self.link.applied and self.stalled == self.link.applied:
            self.sent = self.link.applied
        self.stalled = self.link.applied
        self._send_commits()
        for row in self.tables.jobs():
            if row.deadline <= now:
                self._end_job(row.job, "deadline", failed=True)
                continue
            waits_for_block = row.formed and row.deadline - now >= self.rules.formed_patience - UNMATCHED
            if row.job not in self.book.taken and not waits_for_block:
                self._prepare(row.job)
        aged = self.planning.ageing(self.link.epoch, now - self.rules.reservoir_life)
        if aged is not None:
            self._append(aged, now)

    def _greet(self) -> None:
        if self.link.fid:
            self.effects.beat = True
        else:
            self.effects.begin = True

    def _new_epoch(self, seen: int, why: str) -> None:
        epoch = Epoch(max(seen, self.link.epoch.n) + 1, self._random())
        self._start_over(epoch, 0, why)
        self.effects.begin = True

    def _forget(self) -> None:
        for job in self.book.running:
            self.effects.stops.append(StopJob(JobKey(self.link.epoch, job), "epoch ended", False))
        self.book.clear()
        self.lows.clear()
        self.wanted.clear()
        self.sent = 0
        self.stalled = -1

    # --- messages

    def hear(self, message: wire.Reconcile, now: float) -> None:
        """Check epoch and follower (5.3), then act."""
        self.replan = True
        epoch = Epoch.of(message.epoch)
        if epoch.n < self.link.epoch.n:
            self.effects.begin = True
        elif epoch != self.link.epoch:
            self._new_epoch(epoch.n, "the follower is in another epoch")
        elif not message.fid:
            return
        elif self.link.fid not in (0, message.fid):
            self._new_epoch(epoch.n, "the follower lost its store")
        else:
            if not self.link.fid:
                self.link.fid = message.fid
                self.tables.save_link(self.link)
            self._act(message, now)

    def _act(self, message: wire.Reconcile, now: float) -> None:
        kind = message.WhichOneof("kind")
        if kind == "ack":
            self._on_ack(message.ack, now)
        elif kind == "formed":
            self._on_formed(message.formed, now)
        elif kind == "failed":
            self.effects.alarm = message.failed.alarm or self.effects.alarm
            reason = message.failed.reason or "the follower failed"
            self._end_job(message.failed.job, reason, failed=True, again=message.failed.again)
        elif kind == "open_request":
            asked = message.open_request
            self.wanted.pop(asked.ksid, None)  # the newest is last
            self.wanted[asked.ksid] = (asked.oid, asked.chunk_size, now)
            if len(self.wanted) > MOST_WANTED:
                del self.wanted[next(iter(self.wanted))]
            self._pair(asked.ksid, now)
        elif kind == "close_request":
            self._on_close_request(message.close_request, now)

    def _on_ack(self, ack: wire.Ack, now: float) -> None:
        if ack.applied > self.link.seq:
            self._new_epoch(0, "the follower is ahead: this store was put back")
            return
        chain = self.tables.chain(ack.applied)
        if chain is not None and chain != ack.chain:
            self._new_epoch(0, "the follower has another history: this store was put back")
            return
        self.book.follower_has(ack.jobs)
        for mark in ack.lows:
            known = mark.sid.seq in self.lows or self.tables.stream(mark.sid.seq) is not None
            if known and Epoch.of(mark.sid.epoch) == self.link.epoch:
                self.lows[mark.sid.seq] = max(mark.low, self.lows.get(mark.sid.seq, 0))
        if ack.applied > self.link.applied and chain is not None:
            self._advance(ack.applied, now)

    def _advance(self, applied: int, now: float) -> None:
        self.link.applied = applied
        self.tables.save_link(self.link)
        self.tables.trim_ledger(applied)
        for sid in self.material.waiting_streams(applied):
            row = self.tables.open_at(sid)
            if row is not None:
                self.material.make_available(sid, applied, now, now + row.ttl if row.ttl else None)
                self.effects.told[row.oid] = None
        self.sent = max(self.sent, applied)
        self._send_commits()

    # --- the ledger

    def _append(self, entry: wire.Entry, now: float, job: int = 0) -> None:
        """Decide: store the entry, apply it here, send it."""
        link = self.link
        packed = entry.SerializeToString()
        link.seq += 1
        link.chain = next_chain(link.chain, link.seq, packed)
        self.tables.add_entry(link.seq, job, packed)
        self.tables.add_chain(link.seq, link.chain, link.applied)
        for oid in self._replay.apply(link, link.seq, entry, now):
            self.effects.told[oid] = None
        self.tables.save_link(link)
        self._noted(entry)
        self._send_commits()

    def _send_commits(self) -> None:
        """Send the decisions not sent yet, in order, within the window."""
        last = min(self.link.seq, self.link.applied + self.rules.commit_window)
        if not self.link.fid or last <= self.sent:
            return
        for seq, entry, chain in self.tables.entries(self.sent + 1, last):
            self._say(wire.Reconcile(commit=wire.Commit(seq=seq, entry=entry, chain=chain)))
        self.sent = last

    # --- jobs

    def own_block(self, key: JobKey, block: Block, now: float) -> bool:
        """Store the block of this end's exchange; False when the job has died meanwhile."""
        self.replan = True
        row = self.tables.job(block.job) if key.epoch == self.link.epoch else None
        if row is None or row.formed:
            return False
        self.material.add_block(block)
        deadline = now + self.rules.formed_patience
        self.tables.save_job(row._replace(formed=True, bits=block.length, deadline=deadline))
        heard = self.book.block_arrived(block.job)
        if heard is not None:
            self._on_formed(heard, now)
        return True

    def job_failed(self, key: JobKey, reason: str, alarm: str = "", *, again: bool = False) -> None:
        """Forget a job whose exchange failed at this end; the follower is spared the wait for it."""
        self.replan = True
        row = self.tables.job(key.job) if key.epoch == self.link.epoch else None
        if row is not None and not row.formed:
            self.tables.delete_job(key.job)
            self.book.end(key.job)
            self._say(wire.Reconcile(drop=wire.Drop(job=key.job, alarm=alarm)))

    def reserved(self, key: JobKey, endpoint: str) -> bool:
        """Learn where this end's worker listens: now the follower can be asked. False: the job has died."""
        if key.epoch != self.link.epoch or key.job not in self.book.running:
            return False
        self.book.running[key.job].endpoint = endpoint
        self._prepare(key.job)
        return True

    def _prepare(self, job: int) -> None:
        running = self.book.running.get(job) or self.book.unmatched.get(job)
        if running is not None and running.endpoint and self.link.fid:
            asked = wire.Prepare(
                job=job,
                bits=running.bits,
                protocol=self.rules.protocol,
                endpoint=running.endpoint,
                priority=running.priority,
            )
            self._say(wire.Reconcile(prepare=asked))

    def _end_job(self, job: int, reason: str, *, failed: bool, again: bool = False) -> None:
        row = self.tables.job(job)
        if row is None:
            return
        if row.formed:
            self.material.wipe_block(job)
        self.tables.delete_job(job)
        self.book.end(job)
        self.effects.stops.append(StopJob(JobKey(self.link.epoch, job), reason, failed, again))

    def _on_formed(self, formed: wire.Formed, now: float) -> None:
        row = self.tables.job(formed.job)
        if row is None:
            self._on_formed_again(formed)
        elif not row.formed:
            self.book.follower_formed(formed)
            self._hurry(row, now)
        elif self.material.block_name(formed.job) == (formed.run, formed.length):
            self.tables.delete_job(formed.job)
            self.book.end(formed.job)
            self._allocate(now, (formed.job, Piece(formed.run, 0, formed.length)))
        else:
            self._end_job(formed.job, "blocks of different exchanges", failed=True)
            self._drop(formed)

    def _hurry(self, row: JobRow, now: float) -> None:
        """The other end of this exchange is through: if ours is not soon, its answer was lost with a process."""
        deadline = now + self.rules.own_block_patience
        if deadline < row.deadline:
            self.tables.save_job(row._replace(deadline=deadline))

    def _on_formed_again(self, formed: wire.Formed) -> None:
        seq = self.tables.entry_of_job(formed.job)
        if seq is None:
            self._drop(formed)
        else:  # the follower still holds its block: the commit is under way, or was lost
            self.sent = self.link.applied
            self._send_commits()

    def _drop(self, formed: wire.Formed) -> None:
        self._say(wire.Reconcile(drop=wire.Drop(job=formed.job, run=formed.run)))

    # --- allocation

    def plan(self, now: float, *, may_start: bool) -> None:
        """Cut what the reservoir has for streams with room, and start the exchanges that are lacking."""
        self.replan = False
        if not self.link.fid:
            return
        needs = self.planning.needs(self.rules, self.lows)
        if needs and min(8 * need.size for need in needs) <= self.link.reservoir_bits:
            self._allocate(now, None)
            needs = self.planning.needs(self.rules, self.lows)
        if may_start:
            at_once = self.rules.jobs if self.book.proved else 1  # a link that gives nothing does so once at a time
            for bits, priority in self.planning.jobs(self.rules, needs, self.link.reservoir_bits, at_once):
                self._start_job(bits, priority, now)

    def _start_job(self, bits: int, priority: int, now: float) -> None:
        job = self.link.next_job
        self.link.next_job += 1
        self.tables.save_link(self.link)
        self.tables.save_job(JobRow(job, False, now + self.rules.exchange_patience(bits), bits))
        self.book.start(job, bits, priority)
        key = JobKey(self.link.epoch, job)
        self.effects.runs.append(RunJob(key, bits, self.rules.protocol, "", priority))

    def _allocate(self, now: float, block: tuple[int, Piece] | None) -> None:
        """Decide which bits become which chunks: of the reservoir and of a block that both ends hold."""
        needs = self.planning.needs(self.rules, self.lows)
        entry = self.planning.allocation(self.link.epoch, needs, block, now)
        if entry is not None:
            self._append(entry, now, block[0] if block else 0)

    # --- streams

    def _opened(self, row: OpenRow, now: float) -> None:
        self.replan = True
        self._pair(row.ksid, now)

    def _pair(self, ksid: bytes, now: float) -> None:
        """Pair the follower's request with an own association, unless an older incarnation is not closed."""
        oid_f, chunk_size, asked_at = self.wanted.get(ksid, (b"", 0, 0.0))
        if not oid_f or now - asked_at > REQUEST_REMEMBERED:
            self.wanted.pop(ksid, None)
            return
        own = [row for row in self.tables.opens_unpaired() if row.ksid == ksid and row.chunk_size == chunk_size]
        paired = any(stream.ksid == ksid for stream in self.tables.streams())
        if not own or paired or self.tables.oid_used(ksid, oid_f):
            return
        del self.wanted[ksid]
        self.tables.use_oid(ksid, oid_f, now, now + OID_REMEMBERED)
        seq = self.link.seq + 1
        self._append(entries.open_entry(self.link.epoch, seq, ksid, own[-1].oid, oid_f, chunk_size), now)

    def _closed(self, sid: int, now: float) -> None:
        stream = self.tables.stream(sid)
        if stream is not None and not stream.closed_a:
            self._append(entries.close_entry(self.link.epoch, sid, follower=False), now)
            self._after_close(sid, stream.ksid, now)

    def _derive_closes(self, now: float) -> None:
        """A stream that nobody holds here is closed here, even if the process died between the two."""
        for stream in self.tables.streams():
            if not stream.closed_a and self.tables.open_at(stream.sid) is None:
                self._closed(stream.sid, now)

    def _on_close_request(self, asked: wire.CloseRequest, now: float) -> None:
        stream = self.tables.stream(asked.sid.seq) if Epoch.of(asked.sid.epoch) == self.link.epoch else None
        if stream is not None and not stream.closed_f:
            self._append(entries.close_entry(self.link.epoch, stream.sid, follower=True), now)
            self._after_close(stream.sid, stream.ksid, now)

    def _after_close(self, sid: int, ksid: bytes, now: float) -> None:
        if self.tables.stream(sid) is None:  # both ends have closed: the name is free again
            self.lows.pop(sid, None)
            self._pair(ksid, now)

    def _low_moved(self, row: OpenRow) -> None:
        self.replan = True  # `needs` reads this end's low mark in the store

    # --- what is built when it is sent

    def _due(self, effects: Effects) -> None:
        link = self.link
        if effects.begin:
            begin = wire.Reconcile(epoch=link.epoch.message(), begin=wire.Begin())
            effects.messages.insert(0, begin)
        elif effects.beat and link.fid:
            self._say(wire.Reconcile(beat=wire.Beat(acked=link.applied, chain=self.tables.chain(link.applied))))
