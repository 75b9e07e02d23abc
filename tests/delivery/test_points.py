"""The points of section 7 where a key manager, or keysync between its answers, is killed; and what survives it.

At each point one of them is killed, both of that node, and all of both nodes: the applications then get every key
once, and the same at both ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

World = Any  # the fixtures' World and State
State = Any
A, F = 0, 1
KSID = b"k" * 16
KILLS = {
    "the key manager": [("die", A)],
    "keysync": [("crash", A)],
    "both of the node": [("die", A), ("crash", A)],
    "all of both nodes": [("die", A), ("crash", A), ("die", F), ("crash", F)],
}


def with_keys(world: World, blocks: int = 2) -> State:
    """Three keys at both ends of one stream, in no key manager's memory yet."""
    state = world.paired(job=5)
    for _ in range(blocks):
        state = world.settle(world.check(world.on_plan(state)), tidy=False)
    return state


def app_of(state: State, side: int) -> Any:
    return next(app for app in state.apps if app.side == side)


def asking(world: World, state: State) -> tuple[State, Any]:
    """A's application asks for its next key."""
    before = state.calls
    state = world.calls(state, app_of(state, A), KSID)
    (asked,) = state.calls - before
    return state, asked


def taken(world: World, state: State, *, heard: bool) -> State:
    """A's key manager has asked for keys, and keysync has answered."""
    state = world.on_beat(state, A)
    (pull,) = [pull for pull in state.pulls if pull.side == A]
    state = world.check(world.on_answer(state, pull))
    return world.pull_all(state) if heard else state


def in_memory(world: World) -> State:
    return taken(world, with_keys(world), heard=True)


def m1(world: World) -> State:
    state = world.settle(world.empty(job=5), tidy=False)
    return world.check(world.on_open(world.open(state, F, KSID), A, KSID))


def m2(world: World) -> State:
    state = m1(world)
    (stream,) = world.kept(state)[A].streams
    return world.check(world.on_reserve(state, A, stream.oid, "mute"))


def m3(world: World) -> State:
    return taken(world, with_keys(world), heard=False)


def m4(world: World) -> State:
    """The cursor is stored, and the answer is lost."""
    state, asked = asking(world, in_memory(world))
    return world.check(world.on_mute(state, asked))


def m5(world: World) -> State:
    """Two keys are delivered; of these the first is to be acknowledged, for the second call says it was heard."""
    state = in_memory(world)
    for _ in range(2):
        state, asked = asking(world, state)
        state = world.check(world.on_serve(state, asked))
    return state


def m6(world: World) -> State:
    return world.check(world.on_close(m5(world), A, KSID))


def m7(world: World) -> State:
    state = m6(world)
    (stream,) = world.kept(state)[A].streams
    return world.check(world.on_part(state, A, stream.oid, "mute"))


def k1(world: World) -> State:
    """A take that acknowledges the first key is under way."""
    state = world.on_beat(m5(world), A)
    assert any(pull.side == A for pull in state.pulls)
    return state


def k2(world: World) -> State:
    """Keysync has wiped the first key, and its answer is under way."""
    return taken(world, m5(world), heard=False)


def t1(world: World) -> State:
    """Keysync has wiped what expired; the key manager holds it, and one key of it is delivered."""
    return world.check(world.on_expire(m4(world), A))


def t1_known(world: World) -> State:
    """The key manager has wiped what expired, and keysync does not know."""
    return world.check(world.on_age(m4(world), A))


# Keys that each end has delivered once all is at rest: three blocks of 3 pieces make 4 chunks of 2.
POINTS: list[Any] = [
    ("M1", m1, (1, 1)),
    ("M2", m2, (1, 1)),
    ("M3", m3, (4, 4)),
    ("M4", m4, (4, 4)),
    ("M5", m5, (4, 4)),
    ("M6", m6, (2, 3)),
    ("M7", m7, (2, 3)),
    ("K1", k1, (4, 4)),
    ("K2", k2, (4, 4)),
]


def killed(world: World, state: State, kill: str) -> State:
    for name, side in KILLS[kill]:
        state = world.check(getattr(world, "on_" + name)(state, side))
    return state


def one_more_block(world: World, state: State) -> State:
    return world.settle(world.check(world.on_plan(state)))


def indices(state: State, side: int) -> list[int]:
    return sorted(index for _, index, _ in state.delivered[side])


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize(("reach", "keys"), [pytest.param(*point[1:], id=point[0]) for point in POINTS])
def test_every_key_is_given_once_whoever_is_killed(
    world: Any, reach: Callable[[World], State], keys: tuple[int, int], kill: str
) -> None:
    state = killed(world, reach(world), kill)
    rest = world.settle(state)
    world.check_rest(rest, state)
    further = one_more_block(world, rest)
    world.check_rest(further, state)
    assert (len(further.delivered[A]), len(further.delivered[F])) == keys
    assert further.delivered[A] <= further.delivered[F]
    for side in (A, F):
        assert indices(further, side) == list(range(len(further.delivered[side])))  # none is left out


@pytest.mark.parametrize("kill", KILLS)
def test_m4_the_repeated_call_is_given_the_same_key(world: Any, kill: str) -> None:
    state = m4(world)
    (given,) = state.given
    state = killed(world, state, kill)
    (waits,) = app_of(state, A).waiting
    state = world.pull_all(world.on_ask(state, app_of(state, A), waits))
    for _ in range(2):  # once to have its bits taken again
        for asked in [asked for asked in state.calls if asked.side == A]:
            state = world.pull_all(world.check(world.on_serve(state, asked)))
    assert not app_of(state, A).waiting
    assert state.given == {given}


@pytest.mark.parametrize("kill", KILLS)
def test_m5_the_last_key_of_a_caller_stays_at_keysync_until_its_next_call(world: Any, kill: str) -> None:
    state = killed(world, m5(world), kill)
    state = world.pull_all(world.on_beat(world.pull_all(state), A))
    assert [index for _, index, _, _ in world.facts(state)[A].chunks] == [1, 2]  # 0 was acknowledged, 1 is the last
    state = world.pull_all(world.on_beat(world.on_idle(world.settle(state, tidy=False), A), A))
    assert [index for _, index, _, _ in world.facts(state)[A].chunks] == [2]


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("reach", [t1, t1_known], ids=["keysync first", "the key manager first"])
def test_t1_what_has_expired_is_given_to_nobody_any_more(
    world: Any, reach: Callable[[World], State], kill: str
) -> None:
    state = killed(world, reach(world), kill)
    rest = world.settle(state)
    world.check_rest(rest, state)
    further = one_more_block(world, rest)
    assert 0 in indices(further, A)  # given before it expired
    assert 3 in indices(further, A)
    assert indices(further, F) == [0, 1, 2, 3]
    if reach is t1_known or "the key manager" in kill or "both" in kill:
        assert not {1, 2} & set(indices(further, A))


@pytest.mark.parametrize("kill", ["the key manager", "all of both nodes"])
@pytest.mark.parametrize("reach", [m2, m3, m4, m5, m7, k2])
def test_x1_what_a_lost_store_had_opened_is_closed(world: Any, reach: Callable[[World], State], kill: str) -> None:
    state = reach(world)
    old = {row.oid for row in world.facts(state)[A].opens}
    state = killed(world, world.on_forget(state, A), kill)
    rest = world.settle(state)
    world.check_rest(rest, state)
    assert not old & {row.oid for row in world.facts(rest)[A].opens}
    again = world.settle(world.open(world.open(rest, A, KSID), F, KSID))
    further = one_more_block(world, replace(again, budget=()))
    fresh = [set(further.delivered[side] - rest.delivered[side]) for side in (A, F)]
    assert fresh[A]
    assert fresh[A] == fresh[F]
