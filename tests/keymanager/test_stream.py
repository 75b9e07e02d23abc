"""What is in memory of a stream, against a plain model: whatever comes, in whatever order."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qkdbus.contracts.call import Call
from qkdbus.wire.keymanager_pb2 import QoS
from qkdbus_keymanager.delivery import Callers
from qkdbus_keymanager.stream import Stream

SIZE = 3
INDEX = st.integers(0, 40)


class InMemory(RuleBasedStateMachine):
    """Takes, deliveries, settlements and expiry on one stream."""

    def __init__(self) -> None:
        super().__init__()
        qos = QoS(key_chunk_size=SIZE, ttl=10, timeout=0, metadata_mimetype="")
        self.stream = Stream(1, b"k" * 16, b"o" * 16, "Bob", "a@Alice", "b@Bob", "a", qos)
        self.callers = Callers(lambda: 0.0, lambda: 0.0)
        self.keys = [os.urandom(SIZE - 1) + b"\xff" for _ in range(60)]
        self.bits = bytearray(60 * SIZE)
        self.here: set[int] = set()
        self.fresh: set[int] = set(range(60))
        self.held: dict[int, tuple[int, int]] = {}
        self.number = 0

    @rule(first=INDEX, count=st.integers(1, 15))
    def take(self, first: int, count: int) -> None:
        self.stream.accept(first, b"".join(self.keys[first : first + count]), 0.0, b"")
        needed = self.fresh | {i for a, b in self.held.values() for i in range(a, b)}
        self.here |= set(range(first, first + count)) & needed

    @rule(first=INDEX, most=st.integers(1, 9), remembered=st.booleans())
    def deliver(self, first: int, most: int, remembered: bool) -> None:
        end = first
        while end < first + most and end in self.here & self.fresh:
            end += 1
        if end == first:
            return
        assert self.stream.buffer.keys(first, end) == b"".join(self.keys[first:end])
        if remembered:
            self.number += 1
            caller = self.callers.of(Call("a", b"c", self.number))
            assert caller is not None
            self.callers.remember(caller, self.number, self.stream, first, end)
            self.held[self.number] = (first, end)
        self.stream.deliver(first, end - first)
        self.fresh -= set(range(first, end))
        if not remembered:
            self.stream.settle(first, end, 0.0)
            self.here -= set(range(first, end))

    @precondition(lambda self: self.held)
    @rule(share=st.floats(0, 1))
    def settle(self, share: float) -> None:
        number = sorted(self.held)[int(share * (len(self.held) - 1))]
        for below in [n for n in self.held if n <= number]:
            self.here -= set(range(*self.held.pop(below)))
        self.callers.of(Call("a", b"c", self.number + 1, settled=number + 1))

    @rule(first=INDEX, count=st.integers(1, 10))
    def expire(self, first: int, count: int) -> None:
        end = first + count
        self.stream.expire(first, end, 0.0)
        for number, (a, b) in list(self.held.items()):
            if a < end and b > first:
                self.here -= set(range(a, b))
                del self.held[number]
        self.here -= set(range(first, end))
        self.fresh -= set(range(first, end))

    @rule()
    def crash(self) -> None:
        """The bits are gone, the numbers stay."""
        self.stream.buffer.wipe()
        self.stream.fresh = 0
        self.here.clear()

    @invariant()
    def it_counts_what_is_fresh(self) -> None:
        assert self.stream.fresh == len(self.here & self.fresh)

    @invariant()
    def it_holds_what_is_needed_and_no_more(self) -> None:
        for index in range(60):
            run = self.stream.buffer.find(index)
            if index in self.here:
                assert run is not None
                assert run.keys(index, index + 1) == self.keys[index]
            else:
                assert run is None or run.keys(index, index + 1) == bytes(SIZE)

    @invariant()
    def it_acknowledges_what_is_done_and_not_held(self) -> None:
        held = {i for a, b in self.held.values() for i in range(a, b)}
        acknowledged = self.stream.done.without(self.stream.held_spans())
        assert {i for i in range(60) if i in acknowledged} == set(range(60)) - self.fresh - held


TestInMemory = InMemory.TestCase
TestInMemory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
