"""Every point of section 7 that is keysync's: kill there, one end or both, and both ends must settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qkdbus.wire import keysync_pb2 as wire

World = Any  # the fixtures' World and State
State = Any
A, F = 0, 1
KSID = b"k" * 16


def quiet(after: State, before: State) -> State:
    """A step was stored, and the process dies before its messages leave."""
    return replace(after, post=before.post)


def deliver(world: World, state: State, kind: str) -> State:
    """Let all messages of a kind arrive."""
    letters = [letter for letter in sorted(state.post) if wire.Reconcile.FromString(letter[1]).HasField(kind)]
    assert letters, f"no {kind} under way"
    for letter in letters:
        state = world.check(world.on_deliver(state, letter))
    return state


def block(world: World, state: State, side: int) -> State:
    """Let the block in hand reach one end."""
    for hand in sorted(state.hands):
        if hand.side == side:
            state = world.check(world.on_block(state, hand))
    return state


def prepared(world: World, state: State) -> State:
    return world.on_plan(state)


def asked(world: World, state: State) -> State:
    return deliver(world, prepared(world, state), "prepare")


def in_hand(world: World, state: State) -> State:
    return world.on_exchange(asked(world, state), 1)


def a_stored(world: World, state: State) -> State:
    return block(world, in_hand(world, state), A)


def both_stored(world: World, state: State) -> State:
    return block(world, a_stored(world, state), F)


def decided(world: World, state: State) -> State:
    return deliver(world, both_stored(world, state), "formed")


def applied(world: World, state: State) -> State:
    return deliver(world, decided(world, state), "commit")


def acked(world: World, state: State) -> State:
    return deliver(world, applied(world, state), "ack")


def a2(world: World, state: State) -> State:
    return block(world, in_hand(world, state), F)


def a6(world: World, state: State) -> State:
    before = both_stored(world, state)
    return quiet(deliver(world, before, "formed"), replace(before, post=frozenset()))


def a10(world: World, state: State) -> State:
    state = replace(world.empty(job=2), post=frozenset())
    return world.open(world.open(state, A, KSID), F, KSID)


def a11(world: World, state: State) -> State:
    state = deliver(world, deliver(world, world.empty(job=2), "begin"), "ack")
    assert world.facts(state)[A].fid
    return world.open(world.open(replace(state, post=frozenset()), A, KSID), F, KSID)


def half_open(world: World, state: State) -> State:
    state = world.settle(world.empty(job=2), tidy=False)
    return world.open(world.open(state, A, KSID), F, KSID)


def a12(world: World, state: State) -> State:
    state = deliver(world, half_open(world, state), "open_request")
    assert world.facts(state)[A].streams
    return replace(state, post=frozenset())


def closing(side: int, step: str) -> Callable[[World, State], State]:
    def reach(world: World, state: State) -> State:
        state = acked(world, state)
        reader = state.readers[side][0]
        state = world._with_readers(state, side, ())
        return replace(world.step(state, side, step, reader.oid)[0], post=frozenset())

    return reach


def f3(world: World, state: State) -> State:
    before = a_stored(world, state)
    return quiet(block(world, before, F), before)


def f6(world: World, state: State) -> State:
    before = decided(world, state)
    return quiet(deliver(world, before, "commit"), replace(before, post=frozenset()))


def dropping(world: World, state: State) -> State:
    """The arbiter's job is dead, the follower's block is there, `drop` is under way."""
    state = world.on_crash(a2(world, state), A)
    return deliver(world, state, "formed")


def f7(world: World, state: State) -> State:
    state = dropping(world, state)
    return replace(state, post=frozenset())


def f8(world: World, state: State) -> State:
    return replace(world.empty(job=2), post=frozenset())


def f9(world: World, state: State) -> State:
    state = deliver(world, world.empty(job=2), "begin")
    assert world.facts(state)[F].epoch.n == 1
    return replace(state, post=frozenset())


def f10(world: World, state: State) -> State:
    return replace(half_open(world, state), post=frozenset())


def delivered(world: World, state: State) -> State:
    state = acked(world, state)
    return world.on_read(state, A, 0, False)


def k2(world: World, state: State) -> State:
    """What is delivered has been wiped, and the answer to that `take` is lost."""
    state = delivered(world, state)
    reader = state.readers[A][0]
    return world.step(state, A, "take", reader.oid, reader.low, reader.done)[0]


def t1(world: World, state: State) -> State:
    return world.on_expire(acked(world, state), A)


# Keys of the first job at each end: after a kill of one end, and of both.
LIVES, DIES, LIVES_IF_ONE = (1, 1), (0, 0), (1, 0)
POINTS: list[Any] = [
    ("A1", A, lambda w, s: quiet(prepared(w, s), s), DIES),
    ("A2", A, a2, DIES),
    ("A3", A, in_hand, DIES),
    ("A4", A, a_stored, LIVES_IF_ONE),
    ("A5", A, both_stored, LIVES),
    ("A6", A, a6, LIVES),
    ("A7", A, decided, LIVES),
    ("A8", A, applied, LIVES),
    ("A9", A, acked, LIVES),
    ("A10", A, a10, DIES),
    ("A11", A, a11, DIES),
    ("A12", A, a12, DIES),
    ("F1", F, asked, LIVES_IF_ONE),
    ("F2", F, a_stored, DIES),
    ("F3", F, f3, LIVES),
    ("F4", F, both_stored, LIVES),
    ("F5", F, decided, LIVES),
    ("F6", F, f6, LIVES),
    ("F7", F, f7, DIES),
    ("F8", F, f8, DIES),
    ("F9", F, f9, DIES),
    ("F10", F, f10, DIES),
    ("K1", A, delivered, LIVES),
    ("K2", A, k2, LIVES),
]


def again(world: World, state: State) -> State:
    """Form one more block, to see that life goes on."""
    for side in (A, F):
        if not state.readers[side]:
            state = world.open(state, side, KSID)
    state = world.settle(state)
    return world.settle(world.check(world.on_plan(state)))


def killed(world: World, state: State, sides: tuple[int, ...]) -> State:
    for side in sides:
        state = world.check(world.on_crash(state, side))
    return state


@pytest.mark.parametrize("both", [False, True], ids=["one end", "both ends"])
@pytest.mark.parametrize(("side", "reach", "keys"), [pytest.param(*point[1:], id=point[0]) for point in POINTS])
def test_both_ends_settle_after_a_kill(
    world: Any, side: int, reach: Callable[[World, State], State], keys: tuple[int, int], both: bool
) -> None:
    state = killed(world, reach(world, world.paired(job=3)), (A, F) if both else (side,))
    rest = world.settle(state)
    world.check_rest(rest, state)
    assert [len(rest.delivered[A]), len(rest.delivered[F])] == [keys[both]] * 2
    further = again(world, rest)
    world.check_rest(further, state)
    assert further.delivered[A] == further.delivered[F]
    assert len(further.delivered[A]) > len(rest.delivered[A])


@pytest.mark.parametrize("both", [False, True], ids=["one end", "both ends"])
@pytest.mark.parametrize("side", [A, F], ids=["A13", "F11"])
@pytest.mark.parametrize("step", ["unlink", "close"])
def test_a_close_is_derived_from_the_missing_row(world: Any, side: int, step: str, both: bool) -> None:
    state = closing(side, step)(world, world.paired(job=3))
    state = killed(world, state, (A, F) if both else (side,))
    rest = world.settle(state)
    world.check_rest(rest, state)
    stream = world.facts(rest)[A].streams[0]
    assert (stream.closed_a, stream.closed_f) == (side == A, side == F)
    assert len(rest.delivered[1 - side]) == 1  # what was there is served until the other end closes
    assert not world.facts(rest)[side].chunks


@pytest.mark.parametrize("both", [False, True], ids=["one end", "both ends"])
def test_t1_what_has_expired_at_one_end_is_not_served_there(world: Any, both: bool) -> None:
    state = killed(world, t1(world, world.paired(job=3)), (A, F) if both else (A,))
    rest = world.settle(state)
    world.check_rest(rest, state)
    assert (len(rest.delivered[A]), len(rest.delivered[F])) == (0, 1)
    further = again(world, rest)
    assert {key[1] for key in further.delivered[A]} == {1}


@pytest.mark.parametrize("reach", [both_stored, decided, applied, acked, delivered])
@pytest.mark.parametrize("side", [A, F], ids=["of A", "of F"])
def test_x1_a_lost_store_begins_a_new_epoch(world: Any, side: int, reach: Callable[[World, State], State]) -> None:
    before = reach(world, world.paired(job=3))
    state = world.on_lost(before, side)
    rest = world.settle(state)
    world.check_rest(rest, state)
    assert world.facts(rest)[A].epoch.n > world.facts(before)[A].epoch.n
    assert rest.readers == ((), ())  # their streams are gone
    further = again(world, rest)
    new = [{key for key in further.delivered[end] if key[0][0] > 1} for end in (A, F)]
    assert new[A] == new[F]
    assert new[A]


@pytest.mark.parametrize("reach", [acked, delivered])
@pytest.mark.parametrize("side", [A, F], ids=["of A", "of F"])
def test_x2_a_store_put_back_is_noticed(world: Any, side: int, reach: Callable[[World, State], State]) -> None:
    start = world.paired(job=3)
    before = reach(world, start)
    state = world.on_back(before, side, start.ends[side])
    rest = world.settle(state)
    world.check_rest(rest, state)
    assert world.facts(rest)[A].epoch.n > 1
    further = again(world, rest)
    world.check_rest(further, state)


def lost_formed(world: World, state: State) -> State:
    """Both blocks are stored, and the follower's word of its own is lost with the process that sent it."""
    return replace(both_stored(world, state), post=frozenset())


def test_a4_a_block_that_waits_asks_the_follower_once_more(world: Any) -> None:
    """Nothing but the arbiter's second `prepare` makes the follower speak here: its own timer stands still."""
    state = world.check(world.on_soon(lost_formed(world, world.paired(job=3))))
    assert not world.facts(state)[A].chunks
    state = deliver(world, deliver(world, deliver(world, state, "prepare"), "formed"), "commit")
    assert [index for _, index, _, _ in world.facts(state)[F].chunks] == [0]


@pytest.mark.parametrize("side", [A, F], ids=["of A", "of F"])
def test_f2_a_block_whose_partner_died_is_given_up_when_asked_again(world: Any, side: int) -> None:
    """The follower begins once more, alone; when that fails, the arbiter's block goes before its deadline."""
    state = killed(world, a_stored(world, world.paired(job=3, fail=1)), (F,))
    state = world.check(world.on_soon(replace(state, post=frozenset())))
    if side == A:  # the list of what is asked again is in memory only
        state = killed(world, state, (A,))
    state = deliver(world, state, "prepare") if side == F else world.check(world.on_soon(state))
    if side == F:
        assert world.facts(state)[F].running == {1}
        state = deliver(world, world.check(world.on_fail(state, F, 1)), "failed")
        assert not world.facts(state)[A].blocks
    rest = world.settle(state)
    world.check_rest(rest, state)
    assert not rest.delivered[A]
    further = again(world, rest)
    world.check_rest(further, state)
    assert further.delivered[A] == further.delivered[F]
