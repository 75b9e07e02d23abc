"""The follower: forms blocks when asked, applies the ledger in sequence (agreement, section 5, rows "F")."""

from __future__ import annotations

from qkdbus.wire import keysync_pb2 as wire

from . import entries, policy
from .effects import Effects, JobKey, RunJob, StopJob
from .end import End, Rules, Token
from .entries import LostState, next_chain, sid_message
from .rows import NO_EPOCH, Block, Epoch, OpenRow
from .store import Store

RUN_OCTETS = 16
JOBS_AT_ONCE = 256  # whatever the arbiter asks
MOST_BITS = 1 << 26  # of one exchange, likewise


class Follower(End):
    """The end that follows.

    Volatile: exchanges under way, the blocks already there at the last tick (their `formed` is sent again),
    and the low marks last sent.
    """

    arbiter = False

    def __init__(self, store: Store, peer: str, rules: Rules, token: Token) -> None:
        super().__init__(store, peer, rules, token)
        self.running: set[int] = set()
        self.waiting: set[int] = set()
        self.lows: dict[int, int] = {}

    # --- life

    def start(self, now: float) -> None:
        """Say where this end is, and all that waits for an answer."""
        if not self._load() and (self.link.arbiter or self.tables.link() is None):
            self._start_over(NO_EPOCH, 0, "fresh store")
        self.waiting = {job for job, _, _ in self.material.block_names()}
        self.tick(now)

    def tick(self, now: float) -> None:
        """Send again what has no visible effect yet: `ack`, `formed`, requests to open and to close."""
        self.lows.clear()
        self.effects.ack = True
        blocks = self.material.block_names()
        for job, run, length in blocks:
            if job in self.waiting:
                self._formed(job, run, length)
        self.waiting = {job for job, _, _ in blocks}
        if self.link.epoch == NO_EPOCH:
            return
        for row in self.tables.opens_unpaired():
            self._request_open(row)
        for stream in self.tables.streams():
            if not stream.closed_f and self.tables.open_at(stream.sid) is None:
                self._request_close(stream.sid)

    def _forget(self) -> None:
        for job in sorted(self.running):
            self.effects.stops.append(StopJob(JobKey(self.link.epoch, job), "epoch ended", False))
        self.running.clear()
        self.waiting.clear()
        self.lows.clear()

    def _lose_state(self, why: str) -> None:
        """Give the epoch up: the arbiter answers with `begin`, and a new follower id tells it what happened."""
        self._start_over(NO_EPOCH, 0, why)
        self.effects.ack = True

    # --- messages

    def hear(self, message: wire.Reconcile, now: float) -> None:
        """Check epoch and follower (5.3), then act."""
        epoch = Epoch.of(message.epoch)
        kind = message.WhichOneof("kind")
        if kind == "begin":
            self._on_begin(epoch, now)
        elif epoch == NO_EPOCH or epoch != self.link.epoch or message.fid != self.link.fid:
            return
        elif kind == "commit":
            self._on_commit(message.commit, now)
        elif kind == "prepare":
            self._on_prepare(message.prepare)
        elif kind == "drop":
            self._on_drop(message.drop)
        elif kind == "beat":
            self._on_beat(message.beat)

    def _on_begin(self, epoch: Epoch, now: float) -> None:
        if epoch.n > self.link.epoch.n:
            self._start_over(epoch, self._random(), "the arbiter began")
            self.tick(now)
        self.effects.ack = True

    def _on_commit(self, commit: wire.Commit, now: float) -> None:
        self.effects.ack = True
        link = self.link
        if commit.seq != link.applied + 1:
            return
        chain = next_chain(link.chain, commit.seq, commit.entry)
        try:
            if chain != commit.chain:
                raise LostState("another history")
            entry = entries.parse(commit.entry)
            told = self._replay.apply(link, commit.seq, entry, now)
        except LostState as lost:
            self._lose_state(str(lost))
            return
        link.applied = link.seq = commit.seq
        link.chain = chain
        self.tables.save_link(link)
        self.tables.add_chain(commit.seq, chain, link.applied)
        self.effects.told.update(dict.fromkeys(told))
        self._noted(entry)
        self._after(entry, commit.seq)

    def _after(self, entry: wire.Entry, seq: int) -> None:
        if entry.HasField("open") and self.tables.open_at(seq) is None:
            self._request_close(seq)  # closed before it was paired
        elif entry.HasField("close"):
            stream = self.tables.stream(entry.close.sid.seq)
            if stream is None:
                self._ask_again(entry.close)

    def _ask_again(self, closed: wire.CloseEntry) -> None:
        """An incarnation has ended at both ends: the next one of its KSID may wait for just that."""
        self.lows.pop(closed.sid.seq, None)
        for row in self.tables.opens_unpaired():
            self._request_open(row)

    def _on_prepare(self, asked: wire.Prepare) -> None:
        stored = self.material.block_name(asked.job)
        if stored is not None:
            self._formed(asked.job, *stored)
        elif not asked.job or not 0 < asked.bits <= MOST_BITS:
            return
        elif asked.job not in self.running and len(self.running) < JOBS_AT_ONCE:
            self.running.add(asked.job)
            key = JobKey(self.link.epoch, asked.job)
            self.effects.runs.append(RunJob(key, asked.bits, asked.protocol, asked.endpoint, asked.priority))

    def _on_drop(self, drop: wire.Drop) -> None:
        self.effects.alarm = drop.alarm or self.effects.alarm
        stored = self.material.block_name(drop.job)
        if stored is not None and stored[0] == drop.run:
            self.material.wipe_block(drop.job)
        elif not drop.run and drop.job in self.running:  # the arbiter's exchange has failed: do not wait for it
            self.running.discard(drop.job)
            self.effects.stops.append(StopJob(JobKey(self.link.epoch, drop.job), "dropped", False))

    def _on_beat(self, beat: wire.Beat) -> None:
        if beat.acked > self.link.applied:
            self._lose_state("the arbiter has seen more than is here: this store was put back")
            return
        chain = self.tables.chain(beat.acked)
        if chain is not None and chain != beat.chain:
            self._lose_state("another history")

    # --- jobs

    def own_block(self, key: JobKey, block: Block, now: float) -> bool:
        """Store the block of this end's exchange; False when the job has died meanwhile."""
        if key.epoch != self.link.epoch or key.job not in self.running:
            return False
        self.running.discard(key.job)
        self.material.add_block(block)
        self._formed(block.job, block.run, block.length)
        return True

    def job_failed(self, key: JobKey, reason: str, alarm: str = "", *, again: bool = False) -> None:
        """Tell the arbiter that this end's exchange failed."""
        if key.epoch == self.link.epoch and key.job in self.running:
            self.running.discard(key.job)
            self._say(wire.Reconcile(failed=wire.Failed(job=key.job, reason=reason, alarm=alarm, again=again)))

    def reserved(self, key: JobKey, endpoint: str) -> bool:
        """Tell whether the job still lives; this end's endpoint is nobody's business."""
        return key.epoch == self.link.epoch and key.job in self.running

    def plan(self, now: float, *, may_start: bool) -> None:
        """Nothing to plan: the arbiter does."""
        self.replan = False

    def _formed(self, job: int, run: bytes, length: int) -> None:
        self._say(wire.Reconcile(formed=wire.Formed(job=job, run=run, length=length)))

    # --- streams

    def _opened(self, row: OpenRow, now: float) -> None:
        if self.link.epoch != NO_EPOCH:
            self._request_open(row)

    def _closed(self, sid: int, now: float) -> None:
        self.lows.pop(sid, None)
        stream = self.tables.stream(sid)
        if stream is not None and not stream.closed_f:
            self._request_close(sid)

    def _request_open(self, row: OpenRow) -> None:
        asked = wire.OpenRequest(ksid=row.ksid, oid=row.oid, chunk_size=row.chunk_size)
        self._say(wire.Reconcile(open_request=asked))

    def _request_close(self, sid: int) -> None:
        self._say(wire.Reconcile(close_request=wire.CloseRequest(sid=sid_message(self.link.epoch, sid))))

    def _low_moved(self, row: OpenRow) -> None:
        """Tell the arbiter soon when much room has come free; the rest waits for the next `ack`."""
        assert row.sid is not None
        step = max(1, policy.window(self.rules.window_bytes, row.chunk_size) // 8)
        if max(row.low, row.floor) - self.lows.get(row.sid, 0) >= step:
            self.effects.ack = True

    # --- what is built when it is sent

    def _due(self, effects: Effects) -> None:
        if not effects.ack:
            return
        ack = wire.Ack(applied=self.link.applied, chain=self.link.chain, jobs=sorted(self.running))
        for row in self.tables.opens():
            low = max(row.low, row.floor)
            if row.sid is not None and self.lows.get(row.sid) != low:
                self.lows[row.sid] = low
                mark = wire.LowMark(sid=sid_message(self.link.epoch, row.sid), low=low)
                ack.lows.append(mark)
        self._say(wire.Reconcile(ack=ack))
