"""What may happen to applications and key managers over the two ends of a link, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from qkdbus_keymanager.stream import State as Life

from ..keysync.exploring.invariants import Broken
from ..keysync.exploring.lab import ALICE, BOB
from ..keysync.exploring.search import Explorer
from ..keysync.exploring.state import Action, Reader, State
from .invariants import check_keeper, check_keeper_at_rest
from .keeper import Facts, Keeper, Outcome
from .state import App, Asked, Delivering, Given, Pull, Wish

SIDES = (ALICE, BOB)
NAMES = (b"k" * 16, b"l" * 16)
NOT_HERE = {"read", "close", "open"}  # what the world below does in place of a key manager


@dataclass
class Delivery(Explorer):
    """The explorer of keysync, with key managers in place of its readers. `planted`: see `Keeper`."""

    planted: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keeper = Keeper(self.planted)

    def empty(self, **budget: int) -> Delivering:
        """Everything just started on fresh stores."""
        apps = tuple(App(side, name * 16) for side in SIDES for name in (b"1", b"2")[: budget.get("callers", 1)])
        ends, keepers = (self.labs[0].empty, self.labs[1].empty), (self.keeper.empty, self.keeper.empty)
        state = Delivering(ends, budget=tuple(sorted(budget.items())), keepers=keepers, apps=apps)
        for side in SIDES:
            state = self.step(state, side, "start")[0]  # type: ignore[assignment]
            state = self.keep(state, side, "start")[0]
        return state

    def paired(self, **budget: int) -> Delivering:
        """Both key managers hold one stream, and know it."""
        state = self.pull_all(super().paired(**budget))  # type: ignore[arg-type]
        for side in SIDES:
            state = self.pull_all(self.keep(state, side, "beat")[0])
        return state

    # --- key managers

    def kept(self, state: Delivering) -> tuple[Facts, Facts]:
        """Return what is to be said of both key managers."""
        return self.keeper.facts[state.keepers[0]], self.keeper.facts[state.keepers[1]]

    def keep(self, state: Delivering, side: int, name: str, *args: Any) -> tuple[Delivering, Any]:
        """A key manager takes a step; takes that it begins go under way."""
        outcome: Outcome = self.keeper.step(state.keepers[side], name, *args)
        facts = self.keeper.facts[outcome.state]
        pulling = {stream.oid for stream in facts.streams if stream.pulling}
        begun = {oid for oid, _, _ in outcome.requests}
        pulls = {pull for pull in state.pulls if pull.side != side or pull.oid in pulling - begun}
        pulls.update(Pull(side, *request) for request in outcome.requests)
        readers = tuple(
            sorted(
                Reader(stream.ksid, stream.oid, stream.sid, stream.low, stream.done)
                for stream in facts.streams
                if stream.state != Life.CLOSING
            )
        )
        state = self._with_readers(state, side, readers)  # type: ignore[assignment]
        keepers = (outcome.state, state.keepers[1]) if side == ALICE else (state.keepers[0], outcome.state)
        return replace(state, keepers=keepers, pulls=frozenset(pulls)), outcome.answer

    def check(self, state: State) -> State:
        """Check what must hold at any time."""
        state = super().check(state)
        assert isinstance(state, Delivering)
        for keeper, end in zip(self.kept(state), self.facts(state), strict=True):
            check_keeper(state, keeper, end)
        return state

    def check_rest(self, state: State, began: State) -> None:
        """Check what must hold of a state at rest."""
        super().check_rest(state, began)
        assert isinstance(state, Delivering)
        for keeper, end in zip(self.kept(state), self.facts(state), strict=True):
            check_keeper_at_rest(keeper, end)

    # --- what may happen

    def actions(self, state: State) -> Iterator[Action]:
        """Go through all that may happen next."""
        assert isinstance(state, Delivering)
        yield from (action for action in super().actions(state) if action[0] not in NOT_HERE)
        budget = dict(state.budget)
        for pull in sorted(state.pulls):
            yield ("answer", pull) if pull.taken is None else ("hear", pull)
            if budget.get("silent"):
                yield "silent", pull
        for take in sorted(state.late):
            yield "overtaken", take
        for asked in sorted(state.calls):
            yield "serve", asked
            if budget.get("mute"):
                yield "mute", asked
            if budget.get("again"):
                yield "twice", asked
        for app in state.apps:
            yield from self._calls(state, app, budget)
        for side in SIDES:
            yield from self._of_node(state, side, budget)

    def _calls(self, state: Delivering, app: App, budget: dict[str, int]) -> Iterator[Action]:
        under_way = {asked.wish.number for asked in state.calls if asked[:2] == app[:2]}
        for wish in app.waiting:
            if wish.number not in under_way:
                yield "ask", app, wish
        if not budget.get("call") or len(app.waiting) >= 2:
            return
        for stream in self.kept(state)[app.side].streams:
            if stream.state == Life.CLOSING:
                continue
            yield "call", app, Wish(app.next, stream.ksid)
            if budget.get("skip") and stream.next_index > stream.low + 1:
                yield "call", app, Wish(app.next, stream.ksid, at=stream.next_index - 1)
            if budget.get("many"):
                yield "call", app, Wish(app.next, stream.ksid, many=2)

    def _of_node(self, state: Delivering, side: int, budget: dict[str, int]) -> Iterator[Action]:
        facts = self.kept(state)[side]
        for fault in ("die", "age", "forget"):
            if budget.get(fault):
                yield fault, side
        if any(stream.state == Life.OPEN for stream in facts.streams) and not any(p.side == side for p in state.pulls):
            yield "beat", side
        waited_for = any(app.waiting for app in state.apps if app.side == side)
        if budget.get("idle") and not waited_for and not any(asked.side == side for asked in state.calls):
            yield "idle", side
        for stream in facts.streams:
            parting = "part" if stream.state == Life.CLOSING else "reserve" if stream.state == Life.NEW else ""
            if parting:
                yield parting, side, stream.oid
                if budget.get("mute"):
                    yield parting, side, stream.oid, "mute"
            elif budget.get("close"):
                yield "close", side, stream.ksid
        if any(facts.stream(row.oid) is None for row in self.facts(state)[side].opens):
            yield "orphans", side
        if budget.get(f"open{side}"):
            for ksid in NAMES[: budget.get("names", 1)]:
                if all(stream.ksid != ksid for stream in facts.streams):
                    yield "open", side, ksid

    def act(self, state: State, action: Action) -> State:
        """Let something happen, and check what must always hold."""
        name, *args = action
        other = {"plan": "job", "twice": "again", "open": f"open{args[0] if args else ''}"}
        state = _spend(state, "mute" if "mute" in args else other.get(name, str(name)))
        if name == "call":
            wish: Wish = args[1]
            state = _spend(state, "many" if wish.many else "" if wish.at is None else "skip")
        return self.check(getattr(self, "on_" + name)(state, *args))

    # --- calls

    def on_call(self, state: Delivering, app: App, wish: Wish) -> Delivering:
        """An application begins a call."""
        app, state = self._app(state, app, next=app.next + 1, waiting=(*app.waiting, wish))
        return self.on_ask(state, app, wish)

    def calls(self, state: Delivering, app: App, ksid: bytes) -> Delivering:
        """An application asks for its next key."""
        return self.on_call(state, app, Wish(app.next, ksid))

    def on_ask(self, state: Delivering, app: App, wish: Wish) -> Delivering:
        """It asks, for the first time or again."""
        return replace(state, calls=state.calls | {Asked(app.side, app.caller, app.settled, wish)})

    def on_serve(self, state: Delivering, asked: Asked) -> Delivering:
        """A call arrives, and so does its answer, when there is one yet."""
        after, answered = self._serve(state, asked)
        return self._answered(after, asked) if answered else after

    def on_mute(self, state: Delivering, asked: Asked) -> Delivering:
        """A call arrives, and its answer is lost."""
        return self._serve(state, asked)[0]

    def on_twice(self, state: Delivering, asked: Asked) -> Delivering:
        """A call arrives, is answered, and will arrive once more."""
        after, answered = self._serve(state, asked)
        return replace(self._answered(after, asked), calls=after.calls | {asked}) if answered else after

    def _serve(self, state: Delivering, asked: Asked) -> tuple[Delivering, bool]:
        wish = asked.wish
        call = (asked.caller, wish.number, asked.settled, wish.ksid, wish.at, wish.many)
        after, answer = self.keep(state, asked.side, "get", *call)
        if answer[0] == "dry":
            return after, False
        after = replace(after, calls=after.calls - {asked})
        return (self._given(after, asked, *answer[1:]) if answer[0] == "key" else after), True

    def _given(self, state: Delivering, asked: Asked, sid: Any, first: int, keys: tuple[bytes, ...]) -> Delivering:
        given = Given(asked.side, asked.caller, asked.wish.number, sid, first, keys)
        if given in state.given:
            return state
        if any(known[:3] == given[:3] and self._lives(state, known) for known in state.given - state.over):
            raise Broken("I3: a repeated call was given something else")
        for n, bits in enumerate(keys):
            state = self._delivered(state, asked.side, asked.wish.ksid, (sid, first + n, bits))  # type: ignore[assignment]
        return replace(state, given=state.given | {given})

    def _lives(self, state: Delivering, given: Given) -> bool:
        """Whether what was given may still be asked for: neither expired nor of a stream that is closed (5.5)."""
        if all(stream.sid != given.sid for stream in self.kept(state)[given.side].streams):
            return False
        end = self.facts(state)[given.side]
        row = next((row for row in end.opens if row.sid is not None and end.sid(row.sid) == given.sid), None)
        return row is None or given.first >= row.floor

    def _answered(self, state: Delivering, asked: Asked) -> Delivering:
        app = next(app for app in state.apps if app[:2] == asked[:2])
        waiting = tuple(wish for wish in app.waiting if wish.number != asked.wish.number)
        return self._app(state, app, waiting=waiting)[1]

    def _app(self, state: Delivering, app: App, **changes: Any) -> tuple[App, Delivering]:
        changed = app._replace(**changes)
        return changed, replace(state, apps=tuple(changed if known == app else known for known in state.apps))

    # --- takes

    def on_answer(self, state: Delivering, pull: Pull) -> Delivering:
        """A take arrives at keysync."""
        after, taken = self.step(state, pull.side, "asked", pull.request)
        assert isinstance(after, Delivering)
        return replace(after, pulls=after.pulls - {pull} | {pull._replace(taken=taken)})

    def on_hear(self, state: Delivering, pull: Pull) -> Delivering:
        """The answer arrives."""
        return self.keep(state, pull.side, "hear", pull.oid, pull.taken, pull.jump)[0]

    def on_silent(self, state: Delivering, pull: Pull) -> Delivering:
        """No answer arrives in time."""
        return self.keep(_overtaken(state, {pull}), pull.side, "unheard", pull.oid)[0]

    def on_overtaken(self, state: Delivering, take: tuple[int, bytes]) -> Delivering:
        """A take arrives whose answer nobody hears."""
        after = self.step(state, take[0], "asked", take[1])[0]
        assert isinstance(after, Delivering)
        return replace(after, late=after.late - {take})

    def pull_all(self, state: Delivering) -> Delivering:
        """Let all takes through."""
        for _ in range(200):
            pull = min(state.pulls, default=None)
            if pull is None:
                return state
            state = self.check(self.on_answer(state, pull) if pull.taken is None else self.on_hear(state, pull))  # type: ignore[assignment]
        raise Broken("K: takes without end")

    # --- nodes

    def on_die(self, state: Delivering, side: int) -> Delivering:
        """The key manager dies and is back: with it go the calls and takes under way, some of which may have left."""
        state = _overtaken(state, {pull for pull in state.pulls if pull.side == side})
        calls = frozenset(asked for asked in state.calls if asked.side != side)
        pulls = frozenset(pull for pull in state.pulls if pull.side != side)
        return self.keep(replace(state, calls=calls, pulls=pulls), side, "start")[0]

    def on_beat(self, state: Delivering, side: int) -> Delivering:
        """It is time to acknowledge."""
        return self.keep(state, side, "beat")[0]

    def on_idle(self, state: Delivering, side: int) -> Delivering:
        """Nobody has called for long."""
        return self.keep(state, side, "idle")[0]

    def on_age(self, state: Delivering, side: int) -> Delivering:
        """All that is in memory has expired."""
        after = self.keep(state, side, "age")[0]
        if any(stream.memory for stream in self.kept(after)[side].streams):
            raise Broken("I6: expired bits are in memory")
        return replace(after, over=after.over | {given for given in after.given if given.side == side})

    def on_open(self, state: State, side: int, ksid: bytes) -> State:
        """An application opens, and the two key managers have agreed on it."""
        assert isinstance(state, Delivering)
        oid = ksid[:1] + b"ab"[side : side + 1] + state.fresh.to_bytes(14, "little")
        return replace(self.keep(state, side, "open", ksid, oid)[0], fresh=state.fresh + 1)

    def open(self, state: State, side: int, ksid: bytes) -> State:
        """Open at both layers."""
        state = self.on_open(state, side, ksid)
        assert isinstance(state, Delivering)
        for stream in self.kept(state)[side].streams:
            if stream.state == Life.NEW:
                state = self.on_reserve(state, side, stream.oid)
        return state

    def on_reserve(self, state: Delivering, side: int, oid: bytes, answer: str = "") -> Delivering:
        """Keysync is asked to open; "mute": its answer is lost."""
        stream = self.kept(state)[side].stream(oid)
        assert stream is not None
        after = self.step(state, side, "open", stream.ksid, oid)[0]
        assert isinstance(after, Delivering)
        return after if answer else self.keep(after, side, "opened", oid)[0]

    def on_close(self, state: State, side: int, ksid: bytes) -> State:  # type: ignore[override]
        """An application closes."""
        assert isinstance(state, Delivering)
        return self.keep(state, side, "close", ksid)[0]

    def on_part(self, state: Delivering, side: int, oid: bytes, answer: str = "") -> Delivering:
        """Keysync is asked to close; "mute": its answer is lost."""
        after = self.step(state, side, "close", oid)[0]
        assert isinstance(after, Delivering)
        return after if answer else self.keep(after, side, "closed", oid)[0]

    def on_orphans(self, state: Delivering, side: int) -> Delivering:
        """After a start: keysync closes what the key manager does not hold."""
        oids = tuple(row.oid for row in self.facts(state)[side].opens)
        state, foreign = self.keep(state, side, "orphans", oids)
        for oid in foreign:
            state = self.step(state, side, "close", oid)[0]  # type: ignore[assignment]
        return state

    def on_lose(self, state: State, letter: Any) -> State:
        """A message between the two keysyncs is lost."""
        return super().on_lose(state, letter)

    def on_forget(self, state: Delivering, side: int) -> Delivering:
        """The key manager's store is removed while it is stopped."""
        state = self.on_die(state, side)
        keepers = (self.keeper.empty, state.keepers[1]) if side == ALICE else (state.keepers[0], self.keeper.empty)
        pulls = frozenset(pull for pull in state.pulls if pull.side != side)
        return self.keep(replace(state, keepers=keepers, pulls=pulls), side, "start")[0]

    # --- to rest

    def _read_all(self, state: State) -> State:
        assert isinstance(state, Delivering)
        for side in SIDES:
            state = self._run_node(self.pull_all(self.on_orphans(state, side)), side)
            state = self.step(state, side, "sweep")[0]
            assert isinstance(state, Delivering)
        return state

    def _run_node(self, state: Delivering, side: int) -> Delivering:
        """Let the applications of a node be answered, and read all there is."""
        for asked in sorted(state.calls):
            if asked.side == side:
                state = replace(state, calls=state.calls - {asked})
        state = self._finish_streams(state, side)
        for number in range(len(state.apps)):
            if state.apps[number].side == side:
                state = self._finish_calls(state, number)
        reader = next(number for number, app in enumerate(state.apps) if app.side == side)
        for stream in self.kept(state)[side].streams:
            given = -1
            while stream.state == Life.OPEN and len(state.given) > given:
                given, app = len(state.given), state.apps[reader]
                state = self._finish_calls(self.calls(state, app, stream.ksid), reader)
        state = self.keep(state, side, "idle")[0]
        state = self.pull_all(self.keep(state, side, "beat")[0])
        return self._finish_streams(state, side)

    def _finish_streams(self, state: Delivering, side: int) -> Delivering:
        for stream in self.kept(state)[side].streams:
            if stream.state == Life.NEW:
                state = self.check(self.on_reserve(state, side, stream.oid))  # type: ignore[assignment]
            elif stream.state == Life.CLOSING:
                state = self.check(self.on_part(state, side, stream.oid))  # type: ignore[assignment]
        return self.pull_all(state)

    def _finish_calls(self, state: Delivering, number: int) -> Delivering:
        """Let the calls of an application be answered; it gives up on those for which there is no key."""
        for wish in state.apps[number].waiting:
            app = state.apps[number]
            asked = Asked(app.side, app.caller, app.settled, wish)
            for _ in range(4):
                state, answered = self._serve(state, asked)
                state = self.check(self.pull_all(state))  # type: ignore[assignment]
                if answered:
                    break
            else:
                facts = self.kept(state)[app.side]
                if any(held[:2] == (app.caller, wish.number) for stream in facts.streams for held in stream.held):
                    raise Broken("K: what may be asked for again is not to be had")
            state = replace(self._answered(state, asked), calls=state.calls - {asked})
        return state


def _overtaken(state: Delivering, pulls: set[Pull]) -> Delivering:
    """Takes that nobody waits for any more: those that keysync has not heard may arrive late, two at most."""
    late = {(pull.side, pull.request) for pull in pulls if pull.taken is None}
    room = max(0, 2 - len(state.late))
    return replace(state, late=state.late | set(sorted(late)[:room]))


def _spend(state: State, name: str) -> State:
    budget = tuple((what, left - 1 if what == name else left) for what, left in state.budget)
    return replace(state, budget=budget)
