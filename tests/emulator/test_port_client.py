"""A worker's side of the emulator port: long calls are waited for, and not those of a program that hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qkdbus.errors import Silent
from qkdbus.wire.emulator_pb2 import Batch
from qkdbus.wire.head_pb2 import Health
from qkdbus_qbackend.emulators.port import Pairs
from qkdbus_qbackend.emulators.simulaqron import port_client
from qkdbus_qbackend.emulators.simulaqron.port_client import SimulaqronEmulator


class Program:
    """Answers calls when it is told to, and shows that it lives while it does."""

    def __init__(self) -> None:
        self.lives, self.pings, self.waiting = True, 0, 0
        self.done = asyncio.Event()

    async def ask(self, method: str, request: Any, *, patience: float | None = None, trace: bytes = b"") -> Any:
        if method == "ping":
            self.pings += 1
            if not self.lives:
                raise Silent("emulator.ping: no answer")
            return Health(ready=True)
        self.waiting += 1
        try:
            await self.done.wait()
        finally:
            self.waiting -= 1
        return Batch(batch=3, count=7)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setattr(port_client, "SIGN_AFTER", 0.02)
    return Program()


async def test_a_call_that_takes_long_is_waited_for_as_long_as_the_program_lives(program: Program) -> None:
    call = asyncio.create_task(SimulaqronEmulator(program).line("sink", "Bob", "job").await_pairs())
    while program.pings < 3:
        await asyncio.sleep(0.01)
    program.done.set()
    assert await call == Pairs(3, 7)


async def test_a_call_ends_when_the_program_hangs(program: Program) -> None:
    program.lives = False
    with pytest.raises(Silent, match="ping"):
        await SimulaqronEmulator(program).line("source", "Bob", "job").create_pairs(7)
    assert program.waiting == 0, "nobody waits for its answer any more"


async def test_whoever_gives_up_waits_for_no_answer_and_no_sign(program: Program) -> None:
    call = asyncio.create_task(SimulaqronEmulator(program).line("sink", "Bob", "job").await_pairs())
    while not program.pings:
        await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    asked = program.pings
    await asyncio.sleep(0.1)
    assert (program.waiting, program.pings) == (0, asked)
