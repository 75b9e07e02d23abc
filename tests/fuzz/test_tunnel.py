"""The tunnel of SimulaQron nodes: frames of a neighbour that means ill, while another neighbour calls through it."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from benchmarks.fuzz.octets import scramble
from twisted.spread import banana, pb

from qkdbus.errors import Refused
from qkdbus_qbackend.emulators.simulaqron.stream import HEAD, LARGEST, Stream, dismissal, opened_by

from ..emulator.test_tunnel_doors import Echo, Site, future, until

FEW, MANY = 1500, 100_000
CONNECTION = b"c" * 16
EVERY = 250  # frames between two calls of the neighbour that behaves


def frame(dice: random.Random, connection: bytes) -> bytes:
    """Return what may or may not be a frame."""
    kind = dice.choice((0, 1, 2, 3, 4, 5, 255))
    name = connection if dice.random() < 0.8 else dice.randbytes(16)
    number, taken = (dice.choice((0, 0, 1, 2, 2**31, 2**32 - 1)) for _ in range(2))
    data = dice.choice((b"", b"", b"x", dice.randbytes(40), b"qkdbus", bytes(LARGEST)))
    made = HEAD.pack(kind, name, number, taken) + data
    return scramble(dice, made) if dice.random() < 0.3 else made


def streams(count: int, seed: int) -> None:
    """Let streams take frames that are none: Refused, or data; nothing else, and nothing kept."""
    dice, taken, refused = random.Random(seed), 0, 0
    stream = Stream(CONNECTION, heard=1)
    for _ in range(count):
        octets = frame(dice, CONNECTION)
        for what in (stream.take, opened_by, dismissal):
            try:
                what(octets)
                taken += 1
            except Refused:
                refused += 1
        stream.answers()
        assert stream.waiting == 0
        if stream.ended or dice.random() < 0.1:
            stream = Stream(CONNECTION, heard=1)
    assert taken > count // 20 and refused > count


def test_what_is_no_frame_is_refused() -> None:
    streams(5000, 1)


@pytest.mark.slow
def test_a_hundred_thousand_frames() -> None:
    streams(MANY, 2)


# -- over sockets


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(prefix="lab") as folder:
        site = Site(Path(folder))
        site.bob.listen(Echo())
        yield site
        await site.leave()


def said(dice: random.Random, real: list[bytes]) -> bytes:
    """Return octets of a broker's dialect, or of none."""
    kind = dice.randrange(8)
    if kind < 3:
        return scramble(dice, dice.choice(real))
    if kind == 3:
        return dice.choice(real)
    if kind == 4:  # a list in a list in a list
        return b"\x01\x80" * dice.choice((5, 300, 5000))
    if kind == 5:  # a string, or a list, longer than all memory
        return b"\x7f" * 9 + dice.choice((b"\x80", b"\x82"))
    if kind == 6:
        what = dice.choice((b"message", b"answer", b"error", b"decref", b"decache", b"no"))
        return bytes(banana.encode([what, 1, b"root", 2, 3]))
    return dice.randbytes(60)


def of_a_broker() -> list[bytes]:
    """Return what a broker says in earnest."""
    pb_version = banana.encode([b"version", 6])
    dialect = banana.encode(b"pb")
    call = banana.encode([b"message", 1, b"root", b"echo", 1, [b"tuple", b"x"], [b"dictionary"]])
    meet = banana.encode(
        [b"message", 2, b"root", b"meet", 1, [b"tuple", [b"unicode", b"Aaron"], [b"remote", 1]], [b"dictionary"]]
    )
    return [dialect, dialect + pb_version, dialect + pb_version + call, call, meet, dialect + call + meet]


async def flood(site: Site, count: int, seed: int) -> int:
    """Send so many frames as Alice; Aaron calls all the while. Returns how many connections were opened for it."""
    dice, real, opened = random.Random(seed), of_a_broker(), 0
    factory = pb.PBClientFactory()
    site.tunnel("Aaron").connect("Bob", factory)
    root = await future(factory.getRootObject())
    dealer: Any = site.raw("Alice")
    await dealer.poll(5000, zmq.POLLOUT)
    stream = Stream(os.urandom(16))
    for number in range(count):
        if dice.random() < 0.25 or number == 0:
            stream, opened = Stream(os.urandom(16)), opened + 1
            octets = stream.opening()
        elif dice.random() < 0.8:
            octets = (stream.write(said(dice, real)) or [stream.tick()])[0]
        else:
            octets = frame(dice, stream.connection)
        await dealer.send(octets)
        # not poll and recv: what a poll has seen goes with its connection, when that is dropped
        with suppress(zmq.Again):
            while True:
                await dealer.recv(zmq.NOBLOCK)
        if number % EVERY == 0:
            assert await future(root.callRemote("echo", b"well")) == b"well"
    assert await future(root.callRemote("echo", b"at last")) == b"at last"
    await until(lambda: len(site.connections("Alice")) <= 4)
    dealer.close(0)
    return opened


async def test_a_neighbour_that_means_ill_disturbs_no_other(site: Site) -> None:
    opened = await flood(site, FEW, 3)
    assert opened > FEW // 10
    assert site.count("tunnels_broken") > 20


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_hundred_thousand_frames_through_the_door(site: Site) -> None:
    await flood(site, MANY, 4)
