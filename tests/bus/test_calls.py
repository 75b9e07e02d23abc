"""What a caller may rely on: answers, named failures, no call carried out twice."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest
import zmq

from qkdbus.bus.caller import Caller
from qkdbus.bus.frames import PROTOCOL
from qkdbus.contracts.contract import Contract
from qkdbus.errors import Exhausted, Failed, Refused, Silent
from qkdbus.wire.head_pb2 import OK, REFUSED, Event, Head

Bench = Any


async def test_a_call_is_answered(bench: Bench) -> None:
    answer = await bench.asker().ask("echo", Event(name="hello"))
    assert answer.name == "hello"


async def test_a_failure_keeps_its_name_over_the_wire(bench: Bench) -> None:
    with pytest.raises(Exhausted, match="nothing there"):
        await bench.asker().ask("echo", Event(name="nothing"))


async def test_a_bug_is_a_failure_that_tells_no_octets(bench: Bench) -> None:
    with pytest.raises(Failed) as caught:
        await bench.asker().ask("echo", Event(name="bug"))
    assert "octets" not in str(caught.value)


async def test_many_calls_in_flight_share_commits(bench: Bench) -> None:
    asker = bench.asker()
    await asker.ask("echo", Event(name="warm"))
    before = bench.commits
    answers = await asyncio.gather(*(asker.ask("echo", Event(name=str(n))) for n in range(200)))
    assert [a.name for a in answers] == [str(n) for n in range(200)]
    assert bench.commits - before < 150


async def test_nothing_is_answered_when_the_commit_fails(bench: Bench) -> None:
    def broken() -> None:
        raise OSError("disk full")

    bench.commit = broken
    with pytest.raises(Silent):
        await bench.asker().ask("echo", Event(name="lost"), patience=0.1)
    assert bench.fatal


async def test_silence_is_an_answer(bench: Bench) -> None:
    bench.server.close()
    with pytest.raises(Silent):
        await bench.asker().ask("echo", Event(), patience=0.2)


async def test_a_repeated_call_is_carried_out_once_and_answered_twice(bench: Bench) -> None:
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    head = Head(method="echo", caller=os.urandom(16), call=7, settled=7).SerializeToString()
    numbers = []
    for _ in range(2):
        socket.send_multipart([b"", PROTOCOL, head, Event(name="once").SerializeToString()])
        frames = await asyncio.to_thread(socket.recv_multipart)
        numbers.append(Event.FromString(frames[3]).number)
    socket.close(0)
    assert numbers == [1, 1] and bench.echo.calls["echo"] == 1


async def test_repeats_that_come_together_are_carried_out_once(bench: Bench) -> None:
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    head = Head(method="echo", caller=os.urandom(16), call=7, settled=7).SerializeToString()
    for _ in range(5):  # they wait together until the loop runs
        socket.send_multipart([b"", PROTOCOL, head, Event(name="once").SerializeToString()])
    answers = [await asyncio.to_thread(socket.recv_multipart) for _ in range(5)]
    socket.close(0)
    assert {Event.FromString(frames[3]).number for frames in answers} == {1} and bench.echo.calls["echo"] == 1


async def test_a_repeat_in_the_turn_in_which_the_call_ends_is_not_carried_out_again(bench: Bench) -> None:
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    head = Head(method="slow", caller=os.urandom(16), call=1, settled=1).SerializeToString()
    frames = [b"", PROTOCOL, head, Event(name="late").SerializeToString()]
    socket.send_multipart(frames)
    while not bench.echo.calls["slow"]:
        await asyncio.sleep(0.01)
    for _ in range(20):
        socket.send_multipart(frames)
    bench.echo.release.set()
    await asyncio.sleep(0.2)
    socket.close(0)
    assert bench.echo.calls["slow"] == 1


async def test_a_late_repeat_of_a_settled_call_is_dropped(bench: Bench) -> None:
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    caller = os.urandom(16)
    for call, settled in ((1, 1), (2, 2), (1, 1), (3, 3)):
        head = Head(method="echo", caller=caller, call=call, settled=settled).SerializeToString()
        socket.send_multipart([b"", PROTOCOL, head, Event().SerializeToString()])
    answers = [await asyncio.to_thread(socket.recv_multipart) for _ in range(3)]
    socket.close(0)
    assert [Head.FromString(a[2]).call for a in answers] == [1, 2, 3] and bench.echo.calls["echo"] == 3


async def test_a_settled_answer_is_forgotten(bench: Bench) -> None:
    asker = bench.asker()
    for _ in range(50):
        await asker.ask("echo", Event(name="x"))
    assert len(bench.server._memory) <= 1


async def test_a_repeat_joins_the_call_that_still_runs(bench: Bench) -> None:
    asker = bench.asker()
    waiting = asyncio.ensure_future(asker.ask("slow", Event(name="late"), patience=30))
    await asyncio.sleep(0.8)  # repeats go out after 0.2 s and 0.6 s
    bench.echo.release.set()
    assert (await waiting).number == 1 and bench.echo.calls["slow"] == 1


async def test_a_call_outlives_a_server_that_starts_again(bench: Bench) -> None:
    asker = bench.asker()
    await asker.ask("echo", Event(name="before"))
    bench.server.close()
    waiting = asyncio.ensure_future(asker.ask("echo", Event(name="after"), patience=30))
    await asyncio.sleep(0.3)
    bench.serve()
    assert (await waiting).name == "after"


async def test_a_notice_is_carried_out_and_not_answered(bench: Bench) -> None:
    asker = bench.asker()
    await asker.ask("echo", Event())
    asker.tell("note", Event())
    await asker.ask("echo", Event())
    assert bench.echo.calls["note"] == 1


async def test_a_notice_waits_a_moment_for_a_peer_that_is_just_starting(bench: Bench) -> None:
    bench.server.close()
    await asyncio.sleep(0.3)  # until nobody listens
    asker = bench.asker()
    asker.tell("note", Event())
    asker.tell("note", Event())
    await asyncio.sleep(0.2)
    bench.serve()
    await asker.ask("echo", Event())
    assert bench.echo.calls["note"] == 2


async def test_any_req_socket_can_call_with_three_frames(bench: Bench) -> None:
    socket = bench.context.socket(zmq.REQ)
    socket.connect(bench.endpoint)
    socket.send_multipart([PROTOCOL, Head(method="echo").SerializeToString(), Event(name="plain").SerializeToString()])
    protocol, head, body = await asyncio.to_thread(socket.recv_multipart)
    socket.close(0)
    assert protocol == PROTOCOL and Head.FromString(head).outcome == OK and Event.FromString(body).name == "plain"


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"", b"qkdbus/9", b"", b""],
        [b"", PROTOCOL, b"\xff\xff", b""],
        [b"", PROTOCOL, b"", b"", b"", b""],
        [b"", PROTOCOL, Head(method="no such").SerializeToString(), b""],
        [b"", PROTOCOL, Head(method="echo").SerializeToString(), b"\xff\xff\xff"],
    ],
)
async def test_garbage_is_refused_and_does_no_harm(bench: Bench, frames: list[bytes]) -> None:
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    socket.send_multipart(frames)
    answer = await asyncio.to_thread(socket.recv_multipart)
    socket.close(0)
    assert Head.FromString(answer[2]).outcome == REFUSED
    assert (await bench.asker().ask("echo", Event(name="still here"))).name == "still here"


async def test_frames_without_a_delimiter_are_dropped(bench: Bench) -> None:
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    socket.send_multipart([b"x", b"y"])
    assert (await bench.asker().ask("echo", Event(name="still here"))).name == "still here"
    socket.close(0)
    assert bench.counters["refused"] == 1


async def test_the_plain_caller_asks_and_names_failures(bench: Bench, echo_contract: Contract) -> None:
    told: list[object] = []

    def ask() -> None:
        caller = Caller(bench.context, bench.endpoint, echo_contract, os.urandom(16))
        told.append(caller.ask("echo", Event(name="sync")))
        for name, kind in (("nothing", Exhausted), ("bug", Failed)):
            try:
                caller.ask("echo", Event(name=name))
            except kind as error:
                told.append(error)
        try:
            caller.ask("note", Event())
        except Refused as error:
            told.append(error)
        caller.close()

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.01)
    assert [type(t).__name__ for t in told] == ["Event", "Exhausted", "Failed", "Refused"]
