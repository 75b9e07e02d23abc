"""One credential against another, over real sockets: whoever floods the door for applications harms himself."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import zmq

from qkdbus.bus.asker import Asker
from qkdbus.bus.curve import AppsFile, Gatekeeper, KeyPair, secure_client, secure_server
from qkdbus.bus.frames import PROTOCOL
from qkdbus.bus.guests import Bucket, Guests
from qkdbus.bus.server import Server
from qkdbus.bus.sockets import LARGEST_FROM_APPLICATIONS, narrow, router
from qkdbus.contracts.call import Call
from qkdbus.contracts.contract import Contract, Method
from qkdbus.errors import Exhausted, Silent
from qkdbus.network.limits import Limits
from qkdbus.wire.head_pb2 import Describe, Description, Event, Head, Health, Ping

ECHO = Contract("echo", {"echo": Method(Event, Event, remember=False), "slow": Method(Event, Event, remember=False)})
CALLS = 200  # of the well-behaved client
PATIENCE = 60.0  # s for one of them: machines may be slow, and it is not speed that is tested

# Sends calls as fast as it can over so many connections, and reads no answer.
FLOOD = """
import sys, zmq
sys.path[:0] = {path!r}
from qkdbus.wire.head_pb2 import Head
from qkdbus.bus.frames import PROTOCOL
endpoint, server, public, secret, connections = sys.argv[1], *(w.encode() for w in sys.argv[2:5]), int(sys.argv[5])
context, sockets, number = zmq.Context(), [], 0
for _ in range(connections):
    one = context.socket(zmq.DEALER)
    one.setsockopt(zmq.CURVE_SERVERKEY, server)
    one.setsockopt(zmq.CURVE_PUBLICKEY, public)
    one.setsockopt(zmq.CURVE_SECRETKEY, secret)
    one.connect(endpoint)
    sockets.append(one)
while True:
    sent = False
    for one in sockets:
        number += 1
        head = Head(method="echo", caller=b"flood", call=number).SerializeToString()
        try:
            one.send_multipart([b"", PROTOCOL, head, b""], zmq.NOBLOCK)
            sent = True
        except zmq.Again:
            pass
    if not sent:
        zmq.select([], [], [], 0.001)
"""
# Calls, and takes one answer or two into its memory: the others stay on their way.
NO_READER = """
import sys, zmq
sys.path[:0] = {path!r}
from qkdbus.wire.head_pb2 import Head
from qkdbus.bus.frames import PROTOCOL
endpoint, server, public, secret = sys.argv[1], *(w.encode() for w in sys.argv[2:5])
context = zmq.Context()
one = context.socket(zmq.DEALER)
one.setsockopt(zmq.RCVHWM, 1)
one.setsockopt(zmq.CURVE_SERVERKEY, server)
one.setsockopt(zmq.CURVE_PUBLICKEY, public)
one.setsockopt(zmq.CURVE_SECRETKEY, secret)
one.connect(endpoint)
number = 0
while True:
    number += 1
    head = Head(method="echo", caller=b"deaf", call=number).SerializeToString()
    one.send_multipart([b"", PROTOCOL, head, b""])
"""


class Echo:
    """A layer that gives back what it is told, and counts for whom."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.release = asyncio.Event()
        self.answer = ""

    def ping(self, request: Ping, call: Call) -> Health:
        return Health()

    def describe(self, request: Describe, call: Call) -> Description:
        return Description()

    def echo(self, request: Event, call: Call) -> Event:
        self.calls[call.user] += 1
        return Event(name=self.answer or request.name)

    async def slow(self, request: Event, call: Call) -> Event:
        await self.release.wait()
        return Event(name=request.name)


class Door:
    """A door for applications, as the runtime makes it; it serves in a loop and thread of its own."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.pair, self.echo, self.counters = KeyPair.new(), Echo(), Counter[str]()
        self.apps = {name: KeyPair.new() for name in ("good", "bad")}
        file = folder / "apps.json"
        file.write_text(json.dumps({name: pair.public for name, pair in self.apps.items()}))
        self.gate = Gatekeeper(self.context, lambda door, address: None)
        self.gate.guard("north", AppsFile(file))
        bound = router(self.context)
        narrow(bound)
        secure_server(bound, self.pair, "north")
        self.endpoint = f"tcp://127.0.0.1:{bound.bind_to_random_port('tcp://127.0.0.1')}"
        self.server = Server(
            bound,
            ECHO,
            self.echo,
            secured=True,
            log=logging.getLogger("test"),
            counters=self.counters,
            clock=time.monotonic,
            fatal=lambda error: None,
            limits=limits,
        )
        assert self.server._guests is not None
        self.connections = self.server._guests.connections

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def asker(self, app: str) -> Asker:
        context: zmq.Context[zmq.Socket[bytes]] = self.context
        return Asker(context, self.endpoint, ECHO, os.urandom(16), pair=self.apps[app], server_key=self.pair.public)

    def dealer(self, app: str) -> zmq.Socket[bytes]:
        made = self.context.socket(zmq.DEALER)
        made.setsockopt(zmq.LINGER, 0)
        secure_client(made, self.apps[app], self.pair.public)
        made.connect(self.endpoint)
        return made

    @contextmanager
    def flood(self, app: str, connections: int) -> Iterator[None]:
        """Have another process flood the door; in here it is well under way."""
        keys = (self.pair.public, self.apps[app].public, self.apps[app].secret, str(connections))
        words = [sys.executable, "-c", FLOOD.format(path=sys.path), self.endpoint, *keys]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield
            finally:
                process.kill()

    def close(self) -> None:
        self.server.close()
        self.gate.close()
        self.context.destroy(linger=0)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Callable[..., Door]]:
    made: list[Door] = []

    def make(**limits: float) -> Door:
        made.append(Door(tmp_path, Limits(**limits)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


async def _answered(door: Door, app: str, calls: int, at_once: int = 8) -> int:
    """Make so many calls, some at once; return how many were answered."""
    asker, left, good = door.asker(app), iter(range(calls)), 0

    async def ask() -> None:
        nonlocal good
        for number in left:
            with suppress(Silent, Exhausted):
                answer = await asker.ask("echo", Event(name=str(number)), patience=PATIENCE)
                assert isinstance(answer, Event)
                assert answer.name == str(number)
                good += 1

    await asyncio.gather(*(ask() for _ in range(at_once)))
    asker.close()
    return good


async def _until(holds: Callable[[], object], patience: float = 60.0) -> None:
    ends = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_flood_over_many_connections_costs_a_well_behaved_client_no_answer(door: Callable[..., Door]) -> None:
    here = door(connections=64)
    with here.flood("bad", 32):
        await _until(lambda: here.echo.calls["bad"] > 2000)
        assert await _answered(here, "good", CALLS) == CALLS
        assert here.echo.calls["good"] >= CALLS
    assert here.counters["turned_away"] or here.echo.calls["bad"], "the flood was no flood"


async def test_messages_that_wait_are_taken_one_of_each_credential() -> None:
    """Nobody waits behind another's queue."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    bound = router(context)
    taken: list[str] = []
    away: list[tuple[str, str]] = []
    guests = Guests(
        *(bound, Limits(unanswered=100), lambda user, frames: taken.append(user)),
        *(lambda user, frames, reason: away.append((user, reason)), Counter(), time.monotonic),
    )
    nothing = zmq.Frame(b"")
    for number in range(150):
        guests.heard("bad", nothing, [b"b%d" % (number % 50), b"", b"x"])
    for _ in range(3):
        guests.heard("good", nothing, [b"g", b"", b"x"])
    assert guests.serve(8)
    assert taken == ["bad", "good"] * 3 + ["bad", "bad"]
    assert not guests.serve(1000)
    assert Counter(taken) == {"bad": 100, "good": 3}
    assert 0 < len(away) <= 50
    assert "100 calls of 'bad' wait already" in away[0][1]
    guests.close()
    bound.close()
    context.destroy(linger=0)


async def test_an_absolute_limit_is_said_to_who_crosses_it_and_binds_nobody_else(door: Callable[..., Door]) -> None:
    here = door(calls_per_s=5.0)
    bad, good = here.asker("bad"), here.asker("good")
    results = await asyncio.gather(
        *(bad.ask("echo", Event(), patience=PATIENCE) for _ in range(50)), return_exceptions=True
    )
    refused = [error for error in results if isinstance(error, Exhausted)]
    assert refused
    assert "5 times a second" in str(refused[0])
    assert here.echo.calls["bad"] >= 5
    await good.ask("echo", Event(), patience=PATIENCE)
    bad.close()
    good.close()


def test_a_bucket_gives_what_a_second_brings_and_no_more() -> None:
    bucket = Bucket(10.0, 0.0)
    assert sum(bucket.take(1, 0.0) for _ in range(20)) == 10
    assert sum(bucket.take(1, 0.5) for _ in range(20)) == 5
    assert sum(bucket.take(1, 100.0) for _ in range(20)) == 10, "nothing is saved up beyond a second"
    assert bucket.take(1000, 200.0), "what is more than a second's worth waits for a full bucket"
    assert not bucket.take(1, 200.0)
    assert all(Bucket(None, 0.0).take(10**9, 0.0) for _ in range(3))


async def test_calls_that_wait_are_bounded_for_each_credential_alone(door: Callable[..., Door]) -> None:
    here = door(unanswered=20)
    bad, good = here.asker("bad"), here.asker("good")
    waiting = [asyncio.ensure_future(bad.ask("slow", Event(), patience=PATIENCE)) for _ in range(30)]
    await _until(lambda: sum(one.done() for one in waiting) >= 10)
    assert all(isinstance(one.exception(), Exhausted) for one in waiting if one.done())
    assert sum(not one.done() for one in waiting) == 20
    await good.ask("echo", Event(), patience=PATIENCE)
    here.echo.release.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(one.exception() is None for one in waiting) == 20
    bad.close()
    good.close()


async def test_connections_of_one_credential_push_out_each_other_and_nobody_elses(door: Callable[..., Door]) -> None:
    here = door(connections=5)
    good = here.asker("good")
    await good.ask("echo", Event(), patience=PATIENCE)
    bad = [here.dealer("bad") for _ in range(12)]
    for number, one in enumerate(bad):
        one.send_multipart(_frames(number + 1))
    await _until(lambda: here.counters["connections_ended"] >= 7)
    ended = here.counters["connections_ended"]
    for _ in range(20):
        await good.ask("echo", Event(), patience=PATIENCE)
    assert here.counters["unsent"] == 0 or ended, "only the hostile one's answers are lost"
    users = Counter(one.user for one in here.connections._open.values())
    assert users["good"] == 1
    assert users["bad"] <= 5
    good.close()


async def test_strangers_who_connect_and_say_nothing_push_out_each_other(door: Callable[..., Door]) -> None:
    here = door(all_connections=20)
    good = here.asker("good")
    await good.ask("echo", Event(), patience=PATIENCE)
    silent = []
    for _ in range(100):
        one = socket.create_connection(("127.0.0.1", here.port))
        silent.append(one)
        await asyncio.sleep(0)
    await _until(lambda: here.counters["connections_ended"] >= 80)
    assert len(here.connections) <= 20
    for _ in range(20):
        await good.ask("echo", Event(), patience=PATIENCE)
    late = here.asker("good")  # one who comes now gets in, too
    await late.ask("echo", Event(), patience=PATIENCE)
    for asker in (good, late):
        asker.close()
    for one in silent:
        one.close()


@pytest.mark.slow
async def test_a_flood_of_handshakes_without_a_credential_costs_a_client_no_answer(door: Callable[..., Door]) -> None:
    here = door()
    over = threading.Event()
    knocked = Counter[str]()

    def knock() -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        while not over.is_set():
            stranger = KeyPair.new()
            sockets = []
            for _ in range(20):
                one = context.socket(zmq.DEALER)
                one.setsockopt(zmq.LINGER, 0)
                secure_client(one, stranger, here.pair.public)
                one.connect(here.endpoint)
                sockets.append(one)
            over.wait(0.05)
            for one in sockets:
                one.close()
            knocked["at"] += len(sockets)
        context.destroy(linger=0)

    stranger = threading.Thread(target=knock)
    stranger.start()
    try:
        await _until(lambda: knocked["at"] >= 100)
        assert await _answered(here, "good", CALLS) == CALLS
    finally:
        over.set()
        await asyncio.to_thread(stranger.join)
    assert here.echo.calls.keys() <= {"good"}


@pytest.mark.slow
async def test_who_reads_no_answers_is_cut_off_before_they_fill_the_memory(door: Callable[..., Door]) -> None:
    here = door(unread_octets=4 << 20)
    here.echo.answer = "a" * (100 << 10)
    plain = _no_reader(here)
    try:
        await _until(lambda: here.counters["slow_readers_ended"] >= 1)
    finally:
        plain.kill()
        plain.wait()
    here.echo.answer = ""
    assert await _answered(here, "good", 20) == 20


async def test_who_reads_large_answers_is_not_taken_for_a_slow_reader(door: Callable[..., Door]) -> None:
    here = door(unread_octets=4 << 20)
    here.echo.answer = "a" * (100 << 10)
    good = here.asker("good")
    for _ in range(100):
        await good.ask("echo", Event(), patience=PATIENCE)
    assert here.counters["slow_readers_ended"] == 0
    good.close()


async def test_a_message_that_is_too_large_ends_its_connection_and_no_other(door: Callable[..., Door]) -> None:
    here = door()
    bad, good = here.dealer("bad"), here.asker("good")
    head = Head(method="echo", caller=b"x", call=1).SerializeToString()
    body = Event(name="a" * (LARGEST_FROM_APPLICATIONS + 1)).SerializeToString()
    bad.send_multipart([b"", PROTOCOL, head, body])
    for _ in range(20):
        await good.ask("echo", Event(), patience=PATIENCE)
    assert here.echo.calls["bad"] == 0
    good.close()


def _frames(number: int) -> list[bytes]:
    return [b"", PROTOCOL, Head(method="echo", caller=b"c", call=number).SerializeToString(), b""]


def _no_reader(door: Door) -> subprocess.Popen[bytes]:
    """A process that calls and calls, and leaves the answers in its socket."""
    keys = (door.pair.public, door.apps["bad"].public, door.apps["bad"].secret)
    return subprocess.Popen([sys.executable, "-c", NO_READER.format(path=sys.path), door.endpoint, *keys])
