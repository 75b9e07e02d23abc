"""How long a virtual node waits for another one: in time in which it could have heard it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import closing
from typing import Any
from unittest.mock import Mock

import pytest

from qkdbus.errors import Unavailable
from qkdbus.signs import LONGEST, Sign
from qkdbus_qbackend.emulators.simulaqron import broker
from qkdbus_qbackend.emulators.simulaqron.broker import SLICES, _in_time, _process_at

from ..jumping import JumpingLoop


def jumping(work: Coroutine[Any, Any, None], late: float = 0.0) -> float:
    """Carry out; return how long it took, in s of a loop that wakes up whoever waits `late` s too late."""
    with closing(JumpingLoop()) as loop:
        loop.stall(late)
        began = loop.time()
        loop.run_until_complete(work)
        return loop.time() - began


def later(seconds: float, outcome: str | Exception) -> asyncio.Future[str]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    if isinstance(outcome, str):
        loop.call_later(seconds, future.set_result, outcome)
    else:
        loop.call_later(seconds, future.set_exception, outcome)
    return future


async def in_time() -> None:
    assert await _in_time(later(1.9, "here"), 2.0) == "here"


async def fails() -> None:
    with pytest.raises(Unavailable, match="ValueError"):
        await _in_time(later(0.1, ValueError()), 2.0)


async def never(process: int = 0) -> None:
    waited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with pytest.raises(Unavailable, match="TimeoutError"):
        await _in_time(waited, 2.0, process)
    assert waited.cancelled()


def test_an_answer_is_waited_for_as_long_as_was_said() -> None:
    assert jumping(in_time()) == pytest.approx(1.9, abs=0.3)
    assert jumping(fails()) < 0.5
    assert jumping(never()) == pytest.approx(2.0)


def test_it_is_waited_for_longer_where_nobody_gets_to_run() -> None:
    assert jumping(never(), late=3.0) == pytest.approx(2.0 + SLICES * 3.0)


@pytest.mark.parametrize(("state", "seconds"), [("S", 2.0), ("R", LONGEST), ("T", 2.0 / SLICES)])
def test_what_the_other_process_does_is_looked_at(monkeypatch: pytest.MonkeyPatch, state: str, seconds: float) -> None:
    monkeypatch.setattr(broker, "look", {7: Sign(state, 0.0)}.get)
    assert jumping(never(7)) == pytest.approx(seconds, rel=0.06)


def test_the_process_at_the_other_end_of_a_connection_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert _process_at(Mock(**{"broker.transport.getHandle.return_value": ours})) == os.getpid()
    tunnel = Mock(spec=["broker"])
    tunnel.broker = Mock(spec=["transport"], transport=object())
    assert _process_at(tunnel) == 0
