"""A publisher that means ill: a listener hears what is an event, and nothing else becomes of the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import zmq
from benchmarks.fuzz.mutator import Mutator
from google.protobuf.message import DecodeError

from qkdbus.bus import events
from qkdbus.bus.events import Listener
from qkdbus.wire.head_pb2 import Event

FEW, MANY = 2000, 100_000
LAST = Event(node="Alice", layer="keysync", name="the last").SerializeToString()


def nonsense(mutator: Mutator) -> list[bytes]:
    """Return the frames of what may or may not be an event."""
    dice, body = mutator.dice, mutator.body(Event)
    if dice.random() < 0.95:
        return [dice.choice((b"Alice.keysync.available", b"Alice.", b"", b"\xff\xfe")), body]
    return dice.choice(([body], [b"Alice.", body, b""], [b"", b"", b""], [b"x"] * 30))


async def listen(folder: Path, count: int, *, failing: bool = False) -> tuple[int, int, Listener]:
    """Publish so much nonsense; return how many events were heard, how many were missed, and by whom."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = context.socket(zmq.PUB)
    publisher.setsockopt(zmq.SNDHWM, 0)
    publisher.bind(f"ipc://{folder}/evil")
    heard: list[str] = []
    missed: list[int] = []
    over = asyncio.Event()

    def hear(event: Event) -> None:
        heard.append(event.name)
        if event.name == "the last":
            over.set()
        elif failing and len(heard) % 7 == 0:
            raise ValueError("a fault in whoever hears")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    listener = Listener(context, f"ipc://{folder}/evil", [""], hear, missed.append)
    mutator, expected = Mutator(3), 0
    while not heard:  # until the subscription has come through
        publisher.send_multipart([b"", Event(name="first").SerializeToString()])
        await asyncio.sleep(0.01)
    before = len(heard)
    for number in range(count):
        frames = nonsense(mutator)
        publisher.send_multipart(frames)
        expected += _is_event(frames)
        if number % 500 == 0:
            await asyncio.sleep(0.001)
    publisher.send_multipart([b"", LAST])
    async with asyncio.timeout(60):
        await over.wait()
    listener.close()
    publisher.close(0)
    context.destroy(linger=0)
    assert expected <= len(heard) - before - 1 <= expected + 500  # (more of "first" may have been on their way)
    return expected, sum(missed), listener


def _is_event(frames: list[bytes]) -> bool:
    try:
        _, body = frames
        Event.FromString(body)
    except (ValueError, DecodeError):
        return False
    return True


async def test_what_is_no_event_is_not_heard(tmp_path: Path) -> None:
    heard, missed, listener = await listen(tmp_path, FEW)
    assert FEW // 5 < heard < FEW
    assert 0 < missed < 2**63  # a counter has 64 bits, and a gap is as long as its publisher says
    assert len(listener._last) <= events.MOST_PUBLISHERS


async def test_a_fault_in_whoever_hears_does_not_make_a_listener_deaf(tmp_path: Path) -> None:
    assert (await listen(tmp_path, 500, failing=True))[0] > 100


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_thousand(tmp_path: Path) -> None:
    heard, _, listener = await listen(tmp_path, MANY)
    assert heard > MANY // 5 and len(listener._last) <= events.MOST_PUBLISHERS
