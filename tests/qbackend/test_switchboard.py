"""Who may speak to a worker, and what becomes of what is said."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import Any

import pytest

from qkdbus.contracts.call import Call
from qkdbus.network.model import LinkSettings
from qkdbus.runtime.settings import Neighbour, Ports
from qkdbus.wire.qbackend_pb2 import Parcel
from qkdbus_qbackend.channel import Channel, Job, Topic
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.switchboard import WAIT, WAITING_PARCELS, Switchboard, door

LINK = LinkSettings(emulator="ideal", protocol="bbm92")
PORTS = Ports(north=1, keymanager=2, keysync=3, qbackend=(9001, 9002))
ALICE = Neighbour(name="Alice", host="10.0.0.1", ports=PORTS, public_key="k" * 40, arbiter=False, link=LINK)
CAROL = ALICE.model_copy(update={"name": "Carol", "host": "10.0.0.3"})
JOB = Job("Alice", 1, 2, 3)


class FakeTeller:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Parcel] = []

    def tell(self, method: Any, request: Any) -> None:
        self.told.append(request)

    def close(self) -> None:
        pass


class Board:
    """Bob's switchboard with neighbours Alice and Carol, and a clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.counters: Counter[str] = Counter()
        self.tellers: dict[tuple[str, str], FakeTeller] = {}
        self.board = Switchboard(
            "Bob",
            (ALICE, CAROL),
            self._connect,
            monotonic=lambda: self.now,
            counters=self.counters,
            own_door="tcp://10.0.0.2:7777",
        )

    def _connect(self, neighbour: Neighbour, endpoint: str) -> Any:
        return self.tellers.setdefault((neighbour.name, endpoint), FakeTeller())

    def parcel(self, user: str = "Alice", **fields: Any) -> None:
        said = {
            "node": user,
            "epoch_n": 1,
            "epoch_r": 2,
            "job": 3,
            "attempt": b"a" * 16,
            "body": bytes([Topic.HELLO, 0]) + bytes(8) + b"hi",
        }
        self.board.parcel(Parcel(**{**said, **fields}), Call(user))


@pytest.fixture
def bob() -> Any:
    return Board()


async def test_parcels_wait_for_their_run(bob: Any) -> None:
    bob.parcel(number=0)
    bob.parcel(number=1, body=bytes([Topic.BATCH, 0]) + bytes(8) + b"batch")
    bob.parcel(number=0)
    assert bob.board.early == 2
    channel = bob.board.open(JOB, bytes(16))
    assert await channel.hear(Topic.HELLO) == b"hi" and await channel.hear(Topic.BATCH) == b"batch"
    assert bob.board.early == 0


async def test_parcels_do_not_wait_for_ever(bob: Any) -> None:
    bob.parcel()
    bob.now += WAIT + 1
    channel = bob.board.open(JOB, bytes(16))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(channel.hear(Topic.HELLO), 0.01)
    assert bob.counters["parcels_unclaimed"] == 1


async def test_only_so_many_parcels_wait(bob: Any) -> None:
    for number in range(WAITING_PARCELS + 5):
        bob.parcel(number=number)
    assert bob.board.early == WAITING_PARCELS and bob.counters["parcels_overflowed"] == 5
    for job in range(1000, 1600):
        bob.parcel(job=job)
    assert bob.board.early <= WAITING_PARCELS + 256
    for job in range(2000, 2100):
        bob.parcel(job=job, body=bytes(1 << 20))
    assert bob.counters["parcels_overflowed"] > 5


async def test_a_new_attempt_takes_the_place_of_the_one_that_waits(bob: Any) -> None:
    bob.parcel(attempt=b"a" * 16)
    bob.parcel(attempt=b"b" * 16, body=bytes([Topic.HELLO, 0]) + bytes(8) + b"new")
    channel = bob.board.open(JOB, bytes(16))
    assert await channel.hear(Topic.HELLO) == b"new"


async def test_who_still_speaks_after_the_end_hears_so(bob: Any) -> None:
    bob.board.open(JOB, b"b" * 16)
    bob.board.close(JOB)
    bob.parcel(endpoint="tcp://10.0.0.1:9001")
    assert bob.board.early == 0 and bob.counters["parcels_late"] == 1
    (told,) = bob.tellers["Alice", "tcp://10.0.0.1:9001"].told
    alice = Channel(Job("Bob", 1, 2, 3), "Alice", os.urandom(16), lambda parcel: None)
    alice.take(told)
    with pytest.raises(NoKey, match="not known here"):
        await alice.hear(Topic.HELLO)
    bob.board.parcel(Parcel(**_fields(told, node="Alice")), Call("Alice"))  # no farewell is answered with another
    assert len(bob.tellers["Alice", "tcp://10.0.0.1:9001"].told) == 1


async def test_who_speaks_to_a_worker_that_has_started_anew_hears_so(bob: Any) -> None:
    bob.parcel(number=4, endpoint="tcp://10.0.0.1:9001")  # of an exchange that this process never began
    assert bob.board.early == 0
    (told,) = bob.tellers["Alice", "tcp://10.0.0.1:9001"].told
    alice = Channel(Job("Bob", 1, 2, 3), "Alice", os.urandom(16), lambda parcel: None)
    alice.take(Parcel(attempt=b"b" * 16, body=bytes([Topic.HELLO, 0]) + bytes(8)))
    alice.take(told)
    await alice.hear(Topic.HELLO)
    with pytest.raises(NoKey, match="begun again"):
        await alice.hear(Topic.BATCH)


def _fields(parcel: Parcel, **other: Any) -> dict[str, Any]:
    return {**{field.name: value for field, value in parcel.ListFields()}, **other}


@pytest.mark.parametrize(
    ("user", "fields", "counted"),
    [
        ("Carol", {"node": "Alice"}, "parcels_of_strangers"),
        ("Dave", {}, "parcels_of_strangers"),
        ("Alice", {"attempt": b"short"}, "parcels_malformed"),
        ("Alice", {"body": bytes((1 << 20) + 1)}, "parcels_malformed"),
    ],
)
async def test_a_strangers_parcel_is_dropped_and_counted(bob: Any, user: str, fields: Any, counted: str) -> None:
    channel = bob.board.open(JOB, bytes(16))
    bob.parcel(user, **fields)
    assert bob.counters[counted] == 1 and bob.board.early == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(channel.hear(Topic.HELLO), 0.01)


async def test_a_neighbour_cannot_speak_into_the_exchange_of_another(bob: Any) -> None:
    channel = bob.board.open(JOB, bytes(16))
    bob.parcel("Carol")  # the same job number, on Carol's own link
    assert bob.board.early == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(channel.hear(Topic.HELLO), 0.01)


async def test_a_worker_says_where_it_is_answered(bob: Any) -> None:
    channel = bob.board.open(JOB, bytes(16), endpoint="tcp://10.0.0.1:9001")
    channel.tell(Topic.HELLO, b"")
    channel.tell(Topic.READY, b"")
    told = bob.tellers["Alice", "tcp://10.0.0.1:9001"].told
    assert [parcel.endpoint for parcel in told] == ["tcp://10.0.0.2:7777"] * 2


async def test_the_arbiter_answers_at_the_door_it_was_told_if_that_is_the_neighbours(bob: Any) -> None:
    channel = bob.board.open(JOB, bytes(16))
    channel.tell(Topic.HELLO, b"too early")
    bob.parcel(endpoint="tcp://203.0.113.5:80")
    channel.tell(Topic.HELLO, b"still nowhere")
    assert not bob.tellers and bob.counters["parcels_without_way"] == 2
    bob.parcel(number=1, endpoint="tcp://10.0.0.1:9002")
    channel.tell(Topic.HELLO, b"now")
    assert list(bob.tellers) == [("Alice", "tcp://10.0.0.1:9002")]


def test_only_the_port_of_a_door_is_believed() -> None:
    assert door(ALICE, "tcp://203.0.113.5:9002") == "tcp://10.0.0.1:9002"
    assert door(ALICE, "tcp://10.0.0.1:9003") == door(ALICE, "") == door(ALICE, "ipc:///etc") == ""
