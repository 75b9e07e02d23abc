"""What keysync asks of the dispatcher: how urgent a job is; and what it does when only a worker was lost."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from qkdbus.wire import keysync_pb2 as wire
from qkdbus.wire.dispatcher_pb2 import Exchange, Exchanged, Reserve
from qkdbus_keysync.health import AT_ONCE, FIRST_PAUSE, TOGETHER, LinkHealth
from qkdbus_keysync.planning import urgency
from qkdbus_keysync.policy import Need

KSID, A, B = b"k" * 16, b"a" * 16, b"b" * 16


def need(sid: int, priority: int, room: int) -> Need:
    return Need(sid, 1, room, priority, 0)


@pytest.mark.parametrize(
    ("spare", "urgent"),
    [(0, 7), (79, 7), (80, 2), (80 + 159, 2), (80 + 160, 1), (80 + 160 + 80, 0)],
)
def test_a_job_is_as_urgent_as_the_neediest_stream_that_what_is_under_way_does_not_fill(
    spare: int, urgent: int
) -> None:
    needs = [need(1, 2, 10), need(2, 7, 10), need(3, 1, 10), need(4, 2, 10)]  # 8 bits a chunk
    assert urgency(needs, spare) == urgent


def test_the_reservoir_is_never_urgent() -> None:
    assert urgency([], 0) == 0


class Recorder:
    """Notes what a dispatcher is asked, before it is asked. `answers`: given instead of those of the dispatcher."""

    def __init__(self, node: Any) -> None:
        self.asked: list[Message] = []
        self.answers: list[Exchanged] = []
        self._ask = node.dispatcher.ask
        node.dispatcher.ask = self.ask

    async def ask(self, method: str, request: Message, **more: Any) -> Message:
        self.asked.append(request)
        if method == "exchange" and self.answers:
            return self.answers.pop(0)
        answer = await self._ask(method, request, **more)
        assert isinstance(answer, Message)
        return answer

    def of(self, kind: type[Message]) -> list[Any]:
        return [request for request in self.asked if isinstance(request, kind)]


async def test_the_priority_of_a_stream_reaches_both_dispatchers(net: Any) -> None:
    ends = [Recorder(node) for node in (net.alice, net.bob)]
    net.alice.open(KSID, A, priority=5)
    net.bob.open(KSID, B)
    await net.until(lambda: all(end.of(Exchange) for end in ends))
    for end in ends:
        assert end.of(Reserve)[0].priority == end.of(Exchange)[0].priority == 5
    assert ends[0].of(Reserve)[0].bits == ends[0].of(Exchange)[0].bits > 0


LOST = Exchanged(failure="worker died", again=True)


@pytest.mark.parametrize("side", ["alice", "bob"])
async def test_a_job_whose_worker_was_lost_is_tried_again_at_once_under_a_new_number(
    net: Any, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qkdbus_keysync.health.FIRST_PAUSE", 1000.0)  # s: whoever pauses does not come to an end
    monkeypatch.setattr("qkdbus_keysync.health.LONGEST_PAUSE", 1000.0)
    lossy, arbiter = Recorder(getattr(net, side)), Recorder(net.alice)
    lossy.answers = [LOST]
    await net.pair(KSID, A, B)
    await net.until(lambda: net.alice.take(A).next_index >= 32 and net.bob.take(B).next_index >= 32)
    numbers = [request.name.job for request in arbiter.of(Exchange)]
    assert len(set(numbers)) == len(numbers), "no number comes twice"
    assert len(numbers) >= 5, "four fill the window, one was lost"
    assert net.alice.status().failed == 1


def health(now: float = 100.0) -> LinkHealth:
    made = LinkHealth(now)
    made.heard(now)
    return made


def test_at_once_is_not_for_ever() -> None:
    link, now = health(), 100.0
    for _ in range(AT_ONCE):
        now += 2 * TOGETHER
        assert link.failed(now, again=True) == 0.0
        assert link.may_start(now)
    now += 2 * TOGETHER
    assert link.failed(now, again=True) == pytest.approx(FIRST_PAUSE)
    assert not link.may_start(now)


def test_what_is_lost_together_counts_once() -> None:
    link = health()
    assert [link.failed(200.0 + n * TOGETHER / 20, again=True) for n in range(10)] == [0.0] * 10


def test_a_block_makes_good_for_it() -> None:
    link, now = health(), 100.0
    for _ in range(3 * AT_ONCE):
        now += 2 * TOGETHER
        assert link.failed(now, again=True) == 0.0
        link.formed(wire.LinkStatus().last, 100, now)


def test_an_alarm_is_no_fault_of_a_worker() -> None:
    link = health()
    assert link.failed(100.0, alarm="qber", again=True) == pytest.approx(FIRST_PAUSE)
    assert link.alarm == "qber"
