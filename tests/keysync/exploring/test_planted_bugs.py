"""A checker that finds nothing proves nothing: rules are broken one at a time, and the explorer has to say so."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keysync import entries
from qkdbus_keysync.arbiter import Arbiter
from qkdbus_keysync.end import Rules
from qkdbus_keysync.follower import Follower
from qkdbus_keysync.replay import Replay

TWO_JOBS = Rules(block_bits=48, jobs=2, window_bytes=16)


class ServesBeforeAck(Arbiter):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._replay = Replay(self.tables, self.material, at_once=True)


class DecidesWithoutFormed(Arbiter):
    def own_block(self, key: Any, block: Any, now: float) -> bool:
        stored = super().own_block(key, block, now)
        self._on_formed(wire.Formed(job=block.job, run=block.run, length=block.length), now)
        return stored


class DropsWhatIsDecided(Arbiter):
    def _on_formed_again(self, formed: wire.Formed) -> None:
        self._drop(formed)


class ForgetsCommitsAtStart(Arbiter):
    def start(self, now: float) -> None:
        if self._load():
            self.link.applied = self.link.seq
            self.tables.save_link(self.link)
            self.tables.trim_ledger(self.link.seq)
        super().start(now)


class BelievesAnyFollower(Arbiter):
    """Looks at neither the follower's id nor its history."""

    def hear(self, message: wire.Reconcile, now: float) -> None:
        message.fid = self.link.fid or message.fid
        super().hear(message, now)

    def _on_ack(self, ack: wire.Ack, now: float) -> None:
        ack.applied = min(ack.applied, self.link.seq)
        ack.chain = self.tables.chain(ack.applied) or b""
        super()._on_ack(ack, now)


class CloseWipesNothing(Arbiter):
    def close_stream(self, oid: bytes, now: float) -> None:
        row = self.tables.open(oid)
        if row is not None and row.sid is not None:
            self.tables.delete_open(oid)
            self._closed(row.sid, now)
        else:
            super().close_stream(oid, now)


class TakeWipesWhatItHandsOut(Arbiter):
    def take(self, asked: wire.Take) -> wire.Taken:
        taken = super().take(asked)
        for run in taken.runs[:1]:
            for chunk in self.material.chunks(taken.sid.seq, run.first, run.first + run.count):
                self.material.wipe_chunks(chunk.id)
        return taken


class AppliesInAnyOrder(Follower):
    def _on_commit(self, commit: wire.Commit, now: float) -> None:
        if commit.seq > self.link.applied:
            self.link.applied = commit.seq - 1
            commit.chain = entries.next_chain(self.link.chain, commit.seq, commit.entry)
        super()._on_commit(commit, now)


class CutsByCount(Follower):
    """Cuts the next bits that it finds, instead of those that the entry names."""

    def _on_commit(self, commit: wire.Commit, now: float) -> None:
        entry = wire.Entry.FromString(commit.entry)
        if commit.seq == self.link.applied + 1 and len(entry.alloc.pieces) > 1:
            pool = [wire.Piece.FromString(piece.SerializeToString()) for piece in entry.alloc.pieces]
            if not entry.alloc.rest:
                del entry.alloc.pieces[:]
                entry.alloc.pieces.extend(reversed(pool))
                commit.entry = entry.SerializeToString()
                commit.chain = entries.next_chain(self.link.chain, commit.seq, commit.entry)
        super()._on_commit(commit, now)


class AcksBeforeItApplies(Follower):
    """Says that it has applied what a crash may still take away."""

    def hear(self, message: wire.Reconcile, now: float) -> None:
        if message.HasField("commit") and message.commit.seq == self.link.applied + 1 and not self.waiting:
            ack = wire.Ack(applied=message.commit.seq, chain=message.commit.chain)
            self._say(wire.Reconcile(ack=ack))
            return
        super().hear(message, now)


class DiscardsBlocksAtStart(Follower):
    def start(self, now: float) -> None:
        for job, _, _ in self.material.block_names():
            self.material.wipe_block(job)
        super().start(now)


PLANTED = [
    (ServesBeforeAck, "I2"),
    (DecidesWithoutFormed, "I7"),
    (DropsWhatIsDecided, "I7"),
    (ForgetsCommitsAtStart, "I4|I7"),
    (BelievesAnyFollower, "I4|I7|I1|I2"),
    (CloseWipesNothing, "I6"),
    (TakeWipesWhatItHandsOut, "I5"),
    (AppliesInAnyOrder, "I1|I4|I5|I7"),
    (CutsByCount, "I1|I2|I4|I7"),
    (AcksBeforeItApplies, "I4|I7"),
    (DiscardsBlocksAtStart, "I7"),
]


def walk_until_broken(explore: Any, roles: dict[str, type[Any]], **faults: int) -> None:
    world = explore(flight=6, rules=TWO_JOBS, **roles)
    for seed in range(60):
        start = world.paired(job=10, crash=4, again=10, close=2, open0=1, open1=1, skip=4, **faults)
        world.walk(start, seed, 300)


@pytest.mark.parametrize(("bug", "caught_as"), [pytest.param(*case, id=case[0].__name__) for case in PLANTED])
def test_a_planted_bug_is_caught(explore: Any, broken: Any, bug: type[Any], caught_as: str) -> None:
    role = "arbiter" if issubclass(bug, Arbiter) else "follower"
    faults = {"lost": 2} if bug is BelievesAnyFollower else {}
    with pytest.raises(broken, match=caught_as):
        walk_until_broken(explore, {role: bug}, **faults)


def test_without_a_bug_the_same_walks_find_nothing(explore: Any) -> None:
    world = explore(flight=6, rules=TWO_JOBS)
    for seed in range(6):
        start = world.paired(job=10, crash=4, again=10, close=2, open0=1, open1=1, skip=4, lost=2)
        world.walk(start, seed, 300)
