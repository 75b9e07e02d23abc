"""Callers that mean ill: what they say is cut short, what they have under way is bounded."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
import zmq

from qkdbus.bus import server
from qkdbus.bus.frames import LONGEST_REASON, PROTOCOL, on_the_wire
from qkdbus.contracts.call import Call
from qkdbus.errors import Exhausted, Refused
from qkdbus.wire.head_pb2 import EXHAUSTED, Event, Head

Bench = Any


async def test_a_reason_that_quotes_a_long_request_is_cut_short(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def quote(request: Event, call: Call) -> Event:
        raise Refused(f"what is {request.name!r}?")

    monkeypatch.setattr(bench.echo, "echo", quote)
    bench.server.close()
    bench.serve()
    with pytest.raises(Refused, match="what is") as caught:
        await bench.asker().ask("echo", Event(name="x" * 1_000_000))
    assert len(str(caught.value)) < LONGEST_REASON + 100


async def test_a_message_of_many_frames_is_none_and_does_no_harm(bench: Bench) -> None:
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    head = Head(method="echo", call=1).SerializeToString()
    socket.send_multipart([b"", PROTOCOL, head, *[b"x"] * 10_000])
    assert (await bench.asker().ask("echo", Event(name="still here"))).name == "still here"
    socket.close(0)
    assert bench.counters["refused"] == 1 and bench.echo.calls["echo"] == 1


async def test_only_so_many_calls_of_one_user_are_under_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_RUNNING", 5)
    bench.server.close()
    bench.serve()
    asker = bench.asker()
    waiting = [asyncio.ensure_future(asker.ask("slow", Event(), patience=30)) for _ in range(5)]
    while bench.echo.calls["slow"] < 5:
        await asyncio.sleep(0.01)
    with pytest.raises(Exhausted, match="5 calls"):
        await asker.ask("slow", Event())
    bench.echo.release.set()
    await asyncio.gather(*waiting)
    assert await asker.ask("slow", Event())


async def test_calls_without_a_number_are_counted_as_well(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_RUNNING", 5)
    bench.server.close()
    bench.serve()
    socket = bench.context.socket(zmq.DEALER)
    socket.connect(bench.endpoint)
    for _ in range(6):
        socket.send_multipart([b"", PROTOCOL, Head(method="slow").SerializeToString(), b""])
    frames = await asyncio.to_thread(socket.recv_multipart)
    socket.close(0)
    assert Head.FromString(frames[2]).outcome == EXHAUSTED and bench.echo.calls["slow"] == 5


async def test_a_patience_of_years_can_be_said(bench: Bench) -> None:
    assert (await bench.asker().ask("echo", Event(name="x"), patience=1e9)).name == "x"
    assert on_the_wire(1e9) == 2**32 - 1 and on_the_wire(1.5) == 1500
    assert Head(caller=os.urandom(16), patience_ms=on_the_wire(1e300)).IsInitialized()
