"""Every door of a running node is told nonsense by whoever is let in there; a client that behaves notices nothing.

What is looked at: its keys at both ends, in order and equal, all the while; the processes (none died, grew, or kept
descriptors); their logs (no fault). The neighbours that mean ill have their real keys, and know what is said to them.
"""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress

import pytest
from benchmarks.fuzz.files import value
from benchmarks.fuzz.flood import flood
from benchmarks.fuzz.ground import DECIDES, FOLLOWS, Ground, ground
from benchmarks.fuzz.speaker import Speaker

from qkdbus_deploy.control import SOCKET, Supervisord

FEW, MANY = 500, 100_000  # messages for each contract
WORKSHOP = ("dispatcher", "qbackend.0", "emulator")  # doors of the node's own user alone
WARM = 5000  # messages to each door, after which memories are about as full as they get
DOORS = [
    *("north", "keymanager", "keysync", "dispatcher", "qbackend.0", "emulator"),
    *(f"{layer}.peer of {node}" for node in (DECIDES, FOLLOWS) for layer in ("keymanager", "keysync", "qbackend")),
]


@pytest.fixture(scope="module")
def here() -> Iterator[Ground]:
    with ground() as made:
        yield made
        made.regular.stop()
        assert not made.regular.trouble


def floods(here: Ground, count: int, seed: int, names: Collection[str] = DOORS) -> None:
    """Let each contract be told so much, at all of its doors together; after each nobody may have a complaint."""
    doors, before = here.doors(), here.look()
    ways = Counter(door.contract.name for door in doors.values())
    assert list(doors) == DOORS
    for door in (doors[name] for name in names):
        done = flood(here, door, count // ways[door.contract.name], seed)
        assert done.said * ways[door.contract.name] == count
        answers = ", ".join(f"{n} {name}" for name, n in done.outcomes.most_common())
        print(f"\n{door.name}: {done.said / done.seconds:,.0f}/s, slowest ping {done.slowest:.2f} s; {answers}", end="")
        assert here.complaints(before) == []
    calls, ends = here.regular.calls, time.monotonic() + 60
    while here.regular.is_alive() and here.regular.calls == calls and not here.regular.trouble:
        assert time.monotonic() < ends, "the client that behaves gets no answers"
        time.sleep(0.05)
    assert here.complaints(before) == []


def test_some_hundred_messages_for_every_contract(here: Ground) -> None:
    floods(here, FEW, 1)


def test_messages_beyond_all_measure_end_their_connection_and_nothing_else(here: Ground) -> None:
    doors, before = here.doors(), here.look()
    for door in (doors["north"], doors["dispatcher"], doors[f"keysync.peer of {DECIDES}"]):
        speaker = Speaker(here.context, door.endpoint, door.pair, door.server_key)
        speaker.say([[b"", b"qkdbus/1", b"", bytes(40 << 20)]])  # a ping comes through over a new connection
        speaker.close()
    assert here.complaints(before) == []


def test_a_supervisord_that_is_told_anything_lives_on(here: Ground) -> None:
    before, dice = here.look(), random.Random(3)
    for number in range(150):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as raw:  # it may hang up before all is said
            raw.settimeout(10)
            raw.connect(str(here.bob.run / SOCKET))
            raw.sendall(_request(dice))
            if number % 10 == 0:  # the others hang up at once
                raw.settimeout(0.2)
                raw.recv(100)
    programs = Supervisord(here.bob.run, patience=60.0).programs()
    assert {program.state for program in programs.values()} == {"running"}
    assert here.complaints(before) == []


def _request(dice: random.Random) -> bytes:
    method = dice.choice(("qkdbus.become", "qkdbus.starts", "qkdbus.no", "", "\x00", "system.listMethods"))
    values = "".join(f"<param><value>{value(dice)!r}</value></param>" for _ in range(dice.randrange(4)))
    body = f"<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{values}</params></methodCall>"
    octets = body.encode(errors="replace")
    length = dice.choice((len(octets), len(octets), len(octets), 0, 7, "x", -1))
    head = f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n".encode()
    return dice.choice(
        (head + octets, head + octets, head + octets, head, octets, dice.randbytes(500), b"GET / HTTP/9\r\n\r\n")
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_messages_for_every_contract(here: Ground) -> None:
    for name, door in here.doors().items():
        if name not in WORKSHOP:
            flood(here, door, WARM, 2)
    floods(here, MANY, 3, [name for name in DOORS if name not in WORKSHOP])
    here.regular.stop()  # whoever may ask a node's own workers for exchanges may keep them busy with his
    assert not here.regular.trouble
    floods(here, MANY, 4, WORKSHOP)
