"""Rules of the delivery are broken one at a time, and the explorer has to say so."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.contracts.call import Call
from qkdbus.wire.keysync_pb2 import Take, Taken
from qkdbus_keymanager.delivery import Caller, Callers
from qkdbus_keymanager.feed import Feed
from qkdbus_keymanager.getting import Getting
from qkdbus_keymanager.leaving import Leaving
from qkdbus_keymanager.ranges import Span
from qkdbus_keymanager.registry import Registry
from qkdbus_keymanager.store import Kind
from qkdbus_keymanager.stream import State, Stream
from qkdbus_keysync.end import Rules

TWO_JOBS = Rules(block_bits=48, jobs=2, window_bytes=16)


class RemembersNothing(Callers):
    def remember(self, caller: Caller, number: int, stream: Stream, first: int, end: int) -> None:
        pass


class ForgetsToSettle(Callers):
    """Keeps what callers have said they will not ask for again."""

    def _settle(self, caller: Caller, below: int) -> None:
        caller.settled = below


class KeepsCallersInMemory(Registry):
    """What may be asked for again does not survive the process."""

    def commit(self) -> None:
        self.callers.changed.clear()
        super().commit()


class AnswersBeforeTheCursor(Registry):
    """Keys leave while the store still says that they have not been delivered."""

    def commit(self) -> None:
        self.moved.clear()
        super().commit()


class AcknowledgesTheLastAtOnce(Feed):
    def _request(self, stream: Stream, span: Span | None) -> Take:
        held, stream.held = stream.held, {}
        try:
            return super()._request(stream, span)
        finally:
            stream.held = held


class AcknowledgesWhatItHolds(Feed):
    """Tells keysync to wipe what is in memory and not delivered."""

    def _request(self, stream: Stream, span: Span | None) -> Take:
        request = super()._request(stream, span)
        request.low = max(request.low, stream.frontier)
        return request


class NeverAcknowledges(Feed):
    def _request(self, stream: Stream, span: Span | None) -> Take:
        request = super()._request(stream, span)
        request.low = 0
        del request.done[:]
        return request


class ForgetsWhatExpiredAtKeysync(Feed):
    """Promises a key once more whose bits keysync has wiped, for their time was over."""

    def _accept(self, stream: Stream, taken: Taken, jump: bool) -> bool:
        taken.floor = taken.floor if taken.floor > stream.done.low else 0
        held, stream.held = stream.held, {} if taken.floor else stream.held
        try:
            return super()._accept(stream, taken, jump)
        finally:
            stream.held = held


class GivesOneKeyToTwoCalls(Getting):
    def _deliver(self, stream: Stream, first: int, end: int, caller: Caller | None, number: int) -> None:
        if caller is not None:
            self._callers.remember(caller, number, stream, first, end)


class ServesTheNextToARepeat(Getting):
    def _again(self, caller: Caller, call: Call, stream: Stream, request: Any) -> Any:
        caller.answers.pop(call.number)
        return self.get_key(request, call)


class CloseWipesNothing(Leaving):
    def close(self, stream: Stream, kind: Kind = Kind.CLOSED) -> None:
        stream.state = State.CLOSING
        self._registry.changed[stream] = None
        self.resume(stream, kind)


class ExpiresNothing(Getting):
    def expire(self, stream: Stream) -> None:
        pass


PLANTED = [
    (RemembersNothing, "a repeated call was given something else|I6: bits in memory"),
    (ForgetsToSettle, "a call that is settled is remembered"),
    (KeepsCallersInMemory, "a repeated call was given something else|I5|not to be had"),
    (AnswersBeforeTheCursor, "I3: an index twice|I5|a repeated call"),
    (AcknowledgesTheLastAtOnce, "what may be asked for again is acknowledged"),
    (AcknowledgesWhatItHolds, "I5|a key that nobody gets|is acknowledged"),
    (NeverAcknowledges, "I6: delivered bits are still there|I4"),
    (GivesOneKeyToTwoCalls, "I3: an index twice"),
    (ServesTheNextToARepeat, "a repeated call was given something else|I6: bits in memory"),
    (CloseWipesNothing, "I6: .*in memory"),
    (ExpiresNothing, "I6: expired bits are in memory"),
    (ForgetsWhatExpiredAtKeysync, "not to be had"),
]


def walk_until_broken(explore: Any, planted: dict[str, Any]) -> None:
    world = explore(flight=6, rules=TWO_JOBS, planted=planted)
    for seed in range(30):
        start = world.paired(
            job=10, call=30, mute=8, again=8, die=5, idle=1, age=2 * (seed % 2), expire=1, close=seed % 3
        )
        for _ in range(2):  # there are keys from the beginning
            start = world.settle(world.act(start, ("plan",)), tidy=False)
        world.walk(start, seed, 150, {"mute": 1.0, "die": 0.2})


def part_of(bug: type[Any]) -> dict[str, Any]:
    """Return which part of `build` it replaces, and by what."""
    if not issubclass(bug, Callers):
        return {bug.__mro__[1].__name__: bug}

    class WithCallers(Registry):
        def __post_init__(self) -> None:
            self.callers = bug(self.monotonic, self.monotonic)

    return {"Registry": WithCallers}


@pytest.mark.parametrize(("bug", "caught_as"), [pytest.param(*case, id=case[0].__name__) for case in PLANTED])
def test_a_planted_bug_is_caught(explore: Any, broken: Any, bug: type[Any], caught_as: str) -> None:
    with pytest.raises(broken, match=caught_as):
        walk_until_broken(explore, part_of(bug))
