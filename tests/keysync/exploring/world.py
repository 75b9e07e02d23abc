"""What may happen to the two ends: messages in any order, lost, doubled; crashes; lost and put back stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keysync.arbiter import Arbiter
from qkdbus_keysync.end import Rules
from qkdbus_keysync.follower import Follower

from .invariants import Broken, check
from .lab import ALICE, BOB, LATER, SOON, Facts, Lab
from .state import Action, Hand, Named, Reader, State, keys_of


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
            for n in range(len(state.readers[side])):
                yield "read", side, n, False
                if budget.get("skip"):
                    yield "read", side, n, True
                if budget.get("close"):
                    yield "close", side, n
            if budget.get(f"open{side}"):
                for ksid in (b"k" * 16, b"l" * 16)[: budget.get("names", 1)]:
                    if all(reader.ksid != ksid for reader in state.readers[side]):
                        yield "open", side, ksid
        for when in ("soon", "late"):
            if budget.get(when):
                yield (when,)
        if budget.get("back"):
            for side, copy in self.copies:
                # Nobody can notice that both ends go back together.
                if state.put_back in ((), (side,)) and not state.lost_by - {side}:
                    yield "back", side, copy

    def act(self, state: State, action: Action) -> State:
        """Let something happen, and check what must always hold."""
        name, *args = action
        state = _spend(state, "job" if name == "plan" else name, args)
        state = getattr(self, "on_" + name)(state, *args)
        return self.check(state)

    def check(self, state: State) -> State:
        """Check what must hold at any time; return the state with what is now known about chunks."""
        return check(state, self.facts(state))

    def on_deliver(self, state: State, letter: tuple[int, bytes]) -> State:
        return self.step(replace(state, post=state.post - {letter}), letter[0], "hear", letter[1])[0]

    def on_again(self, state: State, letter: tuple[int, bytes]) -> State:
        return self.step(state, letter[0], "hear", letter[1])[0]

    def on_lose(self, state: State, letter: tuple[int, bytes]) -> State:
        return replace(state, post=state.post - {letter})

    def on_tick(self, state: State, side: int) -> State:
        return self.step(state, side, "tick")[0]

    def on_soon(self, state: State) -> State:
        return self.step(state, ALICE, "tick", SOON)[0]

    def on_late(self, state: State) -> State:
        return self.step(state, ALICE, "tick", LATER)[0]

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
        keys = dict(keys_of(taken)) if sid == reader.sid else {}
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


def _spend(state: State, name: str, args: list[Any]) -> State:
    if name == "open":
        name = f"open{args[0]}"
    if name == "read" and args[2]:
        name = "skip"
    budget = tuple((what, left - 1 if what == name else left) for what, left in state.budget)
    return replace(state, budget=budget)
