"""Ways through the world: breadth first, at random, and to rest."""

from __future__ import annotations

import random
from dataclasses import replace

from .invariants import Broken, check_rest
from .lab import ALICE, BOB, LATER, NOW
from .state import State
from .world import World

WEIGHTS = {
    "deliver": 3.0, "lose": 0.2, "again": 0.3, "tick": 1.0, "read": 0.5, "plan": 2.0, "exchange": 2.0, "block": 2.0,
    "open": 0.6, "close": 0.05, "crash": 0.05, "lost": 0.03, "back": 0.03, "expire": 0.03, "fail": 0.1, "late": 0.03,
    "soon": 0.3,
}  # fmt: skip


class Explorer(World):
    """Searches the world for a state that breaks an invariant."""

    def paired(self, **budget: int) -> State:
        """Both ends agree on an epoch and hold one stream."""
        state = self.empty(**budget)
        for side in (ALICE, BOB):
            state = self.open(state, side, b"k" * 16)
        return self.settle(state, tidy=False)

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
            state = self.step(state, ALICE, "tick", LATER if tidy and turn == 6 else NOW)[0]
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
        check_rest(state, self.facts(state), began)

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
