"""The trace of a call on its way: through a server, to whatever it asks, into its log; and what is too much of it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
import zmq
from google.protobuf.message import Message

from qkdbus import trace
from qkdbus.bus.asker import Asker
from qkdbus.bus.server import Server
from qkdbus.contracts.call import Call
from qkdbus.contracts.contract import Contract, Method
from qkdbus.errors import Exhausted
from qkdbus.runtime.health import Face, Vitals
from qkdbus.runtime.logs import open_log
from qkdbus.runtime.telling import Allowance, Telling
from qkdbus.wire.head_pb2 import Describe, Description, Event, Nothing
from qkdbus_client.traces import Traces

CONTRACT = Contract(
    "upper", {"work": Method(Event, Nothing, remember=False), "rare": Method(Event, Nothing, event=True)}
)


class Layer:
    """Asks the layer below, if there is one, in a task of its own."""

    def __init__(self, log: logging.Logger, below: Asker | None = None) -> None:
        self.log, self.below = log, below
        self.followed: list[bytes] = []

    def work(self, request: Event, call: Call) -> Nothing | Awaitable[Nothing]:
        self.followed.append(trace.CURRENT.get())
        self.log.warning("working", extra={"name_of": request.name})
        if request.name == "refuse":
            raise Exhausted("nothing left")
        return self._ask(request) if self.below is not None else Nothing()

    rare = work

    def notes(self, method: str, request: Message, answer: Message | None) -> dict[str, object]:
        return {"noted": getattr(request, "name", "")}

    async def _ask(self, request: Event) -> Nothing:
        assert self.below is not None
        await asyncio.create_task(self.below.ask("work", request, patience=20.0))
        return Nothing()


class Stack:
    """Two layers, one below the other, that write to one log."""

    def __init__(self, folder: Path, level: str = "info") -> None:
        self.out = io.StringIO()
        self.log = open_log("Alice", "stack", 0, level, self.out)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.counters: Counter[str] = Counter()
        self.events: list[dict[str, Any]] = []
        self.telling = Telling(self.log, self.publish, self.counters, asyncio.get_running_loop().time)
        self.low = Layer(self.log)
        endpoints = f"ipc://{folder}/low", f"ipc://{folder}/high"
        self.servers = [self._serve(endpoints[0], self.low)]
        self.askers = [Asker(self.context, endpoints[0], CONTRACT, b"h" * 16)]
        self.high = Layer(self.log, self.askers[0])
        self.servers.append(self._serve(endpoints[1], self.high))
        self.askers.append(Asker(self.context, endpoints[1], CONTRACT, b"u" * 16))

    def publish(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, "trace": trace.name(trace.CURRENT.get()), **fields})

    def _serve(self, endpoint: str, layer: Layer) -> Server:
        socket = self.context.socket(zmq.ROUTER)
        socket.bind(endpoint)
        vitals = Vitals("Alice", "stack", 0, "test", 0.0, str, counters=self.counters)
        vitals.latencies = self.telling.latencies
        return Server(
            socket,
            CONTRACT,
            Face(layer, vitals, 1),
            secured=False,
            log=self.log,
            counters=self.counters,
            clock=asyncio.get_running_loop().time,
            fatal=self._fatal,
            witness=self.telling,
        )

    @staticmethod
    def _fatal(error: BaseException) -> None:
        raise error

    async def ask(self, name: str, followed: bytes, method: str = "work") -> None:
        await self.askers[1].ask(method, Event(name=name), patience=20.0, trace=followed)

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.out.getvalue().splitlines()) if line["event"] == event]

    def close(self) -> None:
        for server in self.servers:
            server.close()
        for asker in self.askers:
            asker.close()
        self.context.destroy(linger=0)


@pytest.fixture
async def stack(tmp_path: Path) -> Any:
    made = Stack(tmp_path)
    yield made
    made.close()


async def test_a_trace_reaches_the_layer_below_and_both_logs(stack: Stack) -> None:
    followed = trace.new()
    await stack.ask("a", followed)
    assert stack.high.followed == stack.low.followed == [followed]
    assert [line["trace"] for line in stack.lines("working")] == [trace.name(followed)] * 2


async def test_what_has_no_trace_says_none(stack: Stack) -> None:
    await stack.ask("a", trace.new())
    await stack.ask("b", b"")
    assert stack.low.followed[-1] == b""
    assert all("trace" not in line for line in stack.lines("working") if line["name_of"] == "b")


async def test_a_watched_call_is_logged_at_info_in_each_layer(stack: Stack) -> None:
    followed = trace.new(watch=True)
    await stack.ask("a", followed)
    told = stack.lines("called")
    assert [line["trace"] for line in told] == [trace.name(followed)] * 2
    assert {line["level"] for line in told} == {"info"}
    assert [line["noted"] for line in told] == ["a", "a"]
    assert told[0]["seconds"] <= told[1]["seconds"], "the upper layer waits for the lower one"


async def test_other_calls_are_not_logged_at_info(stack: Stack) -> None:
    await stack.ask("a", trace.new())
    assert stack.lines("called") == []


async def test_at_level_debug_every_call_is_logged(tmp_path: Path) -> None:
    stack = Stack(tmp_path, "debug")
    try:
        await stack.ask("a", b"")
        assert [line["level"] for line in stack.lines("called")] == ["debug", "debug"]
    finally:
        stack.close()


async def test_a_refusal_is_told_by_its_outcome(stack: Stack) -> None:
    with pytest.raises(Exhausted):
        await stack.ask("refuse", trace.new(watch=True))
    assert [line["outcome"] for line in stack.lines("called")] == ["exhausted"]
    assert stack.counters["refusals{outcome=exhausted}"] == 1


async def test_a_rare_call_is_an_event_whoever_watches(stack: Stack) -> None:
    followed = trace.new()
    await stack.ask("a", followed, "rare")
    assert [(e["event"], e["method"], e["trace"]) for e in stack.events] == [("called", "rare", trace.name(followed))]


async def test_a_trace_beyond_measure_is_dropped(stack: Stack) -> None:
    await stack.ask("a", b"x" * 5000)
    assert stack.high.followed == [b""]


async def test_calls_are_timed_by_method(stack: Stack) -> None:
    for number in range(5):
        await stack.ask(f"a{number}", b"")
    assert sum(stack.telling.latencies["work"].counts) == 10
    assert stack.telling.latencies["work"].total > 0
    said = await stack.askers[1].ask("describe", Describe(), patience=20.0)
    assert isinstance(said, Description)
    assert sum(said.histograms["seconds{method=work}"].counts) == 10


async def test_notes_that_fail_do_not_harm_the_call(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> dict[str, object]:
        raise ValueError("no notes")

    monkeypatch.setattr(stack.low, "notes", broken)
    await stack.ask("a", trace.new(watch=True))
    assert stack.counters["faults"] == 1
    assert len(stack.lines("called")) == 1


def test_whoever_watches_too_much_is_counted_and_no_longer_written() -> None:
    now = [0.0]
    allowed = Allowance(2.0, 3.0, lambda: now[0])
    assert [allowed.take() for _ in range(5)] == [True, True, True, False, False]
    now[0] = 1.0
    assert [allowed.take() for _ in range(3)] == [True, True, False]


def test_names_of_traces_are_read_back() -> None:
    followed = trace.new(watch=True)
    assert trace.read(trace.name(followed)) == followed
    assert trace.watched(followed)
    assert not trace.watched(trace.read(followed[:8], watch=False))
    for wrong in ("", "12", "zz" * 8, b"123", followed):
        with pytest.raises(ValueError, match=r"trace|hexadecimal"):
            trace.read(wrong)


def test_both_ends_of_a_link_name_an_exchange_alike_and_no_other_so() -> None:
    names = {trace.of_job(epoch, 2**63 + 1, job) for epoch in range(4) for job in range(100)}
    assert len(names) == 400
    assert trace.of_job(1, 2**63 + 1, 7) == trace.of_job(1, 2**63 + 1, 7)
    assert {len(name) for name in names} == {8}


def test_a_client_gives_each_call_a_trace_of_its_own() -> None:
    traces = Traces(None)
    made = [traces.next() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {len(one) for one in made} == {8}, "nobody watches"


def test_a_client_that_wants_to_see_says_so_with_each_call() -> None:
    every, own = Traces(True), Traces("00ff00ff00ff00ff")
    assert every.next() != every.next()
    assert trace.watched(every.next())
    assert own.next() == own.next() == trace.read("00ff00ff00ff00ff")
    with pytest.raises(ValueError, match="8 octets"):
        Traces("00ff")
