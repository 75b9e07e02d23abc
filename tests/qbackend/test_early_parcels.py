"""Parcels that wait for their `run` take a bounded room, with all that is in them."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.contracts.call import Call
from qkdbus.wire.qbackend_pb2 import Parcel
from qkdbus_qbackend import switchboard

CALL = Call("Alice")


def parcel(job: int, number: int = 0, **more: Any) -> Parcel:
    return Parcel(node="Alice", epoch_n=1, epoch_r=7, job=job, number=number, attempt=b"a" * 16, **more)


async def test_what_is_not_the_body_counts_too(workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "WAITING_OCTETS", 1 << 20)
    board = workers().bob.board
    for job in range(200):
        board.parcel(parcel(job, endpoint="x" * 100_000), CALL)
    assert board.early <= 10
    unknown = Parcel.FromString(parcel(500).SerializeToString() + b"\xfa\xff\x7f\xa0\x8d\x06" + bytes(100_000))
    for job in range(500, 600):
        unknown.job = job
        board.parcel(Parcel.FromString(unknown.SerializeToString()), CALL)
    assert board.early <= 10


async def test_room_that_was_taken_is_given_back(workers: Any) -> None:
    board = workers().bob.board
    for job in range(2000):  # more than may wait: the oldest go
        board.parcel(parcel(job, body=b"x" * 1000), CALL)
        board.parcel(parcel(job, body=b"x" * 1000), CALL)  # the same once more
    assert board._early_octets == sum(early.octets for early in board._early.values()) > 0
    for job in list(board._early):
        board._pop_early(job)
    assert board._early_octets == 0 and board.early == 0
