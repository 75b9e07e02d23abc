"""A service follows keys that change on disk: what it is asked and what it asks goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qkdbus.bus.asker import Asker
from qkdbus.bus.curve import KeyPair
from qkdbus.bus.known import Doors, Former
from qkdbus.contracts.call import Call
from qkdbus.contracts.contract import Contract, Method
from qkdbus.errors import QkdbusError, Silent, Unauthorised
from qkdbus.network.model import LinkSettings
from qkdbus.runtime import doorway
from qkdbus.runtime.room import Room
from qkdbus.runtime.settings import Neighbour, NodeSettings, Ports
from qkdbus.wire.head_pb2 import Event
from qkdbus_deploy.render import pair_text, settings_text

ECHO = Contract("echo", {"echo": Method(Event, Event, remember=False), "told": Method(Event, None)})


class Echo:
    """Says what it hears; counts who spoke."""

    def __init__(self) -> None:
        self.told_by: list[str] = []

    def echo(self, request: Event, call: Call) -> Event:
        return Event(name=f"{call.user}: {request.name}")

    def told(self, request: Event, call: Call) -> None:
        self.told_by.append(call.user)


class Two:
    """Alice serves, Bob asks; each a room over its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.echo = folder, Echo()
        self.keys = {name: KeyPair.new() for name in ("Alice", "Bob")}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in self.keys:
            self.write(name)
        self.rooms = {name: Room(self.settings(name), "keysync", 0, logging.getLogger("test")) for name in self.keys}
        self.rooms["Alice"].serve(self.endpoint, ECHO, self.echo, door="peers")
        self.asker = self.ask_of("Bob")

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def settings(self, name: str) -> NodeSettings:
        other = {"Alice": "Bob", "Bob": "Alice"}[name]
        ports, link = Ports(north=1, keymanager=1, keysync=self.port, qbackend=(1,)), LinkSettings(emulator="ideal")
        key, arbiter = self.keys[other].public, name == "Alice"
        peer = Neighbour(name=other, host="127.0.0.1", ports=ports, public_key=key, arbiter=arbiter, link=link)
        return NodeSettings(
            network="test",
            name=name,
            host="127.0.0.1",
            directory=self.folder / name,
            run=self.folder / name / "run",
            ports=ports,
            nodes=("Alice", "Bob"),
            neighbours=(peer,),
        )

    def write(self, name: str, doors: Doors | None = None) -> None:
        certs = self.folder / name / "certs"
        certs.mkdir(parents=True, exist_ok=True)
        _put(certs / "node.json", pair_text(self.keys[name]))
        _put(certs / "doors.json", (doors or Doors()).text)
        _put(self.folder / name / "node.yaml", settings_text(self.settings(name)))

    def ask_of(self, name: str) -> Asker:
        other = {"Alice": "Bob", "Bob": "Alice"}[name]
        key = self.rooms[name].settings.neighbour(other).public_key
        return self.rooms[name].asker(self.endpoint, ECHO, server_key=key)

    async def says(self, words: str, patience: float = 30.0) -> str:
        answer = await self.asker.ask("echo", Event(name=words), patience=patience)
        assert isinstance(answer, Event)
        return answer.name

    async def on_and_on(self, words: str) -> None:
        while True:
            await self.says(words, 1.0)

    def close(self) -> None:
        for room in self.rooms.values():
            room.close()


def _put(file: Path, text: str) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(file)


@pytest.fixture
async def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:  # type: ignore[misc]
    monkeypatch.setattr(doorway, "LOOK_EVERY", 0.05)
    made = Two(tmp_path)
    yield made
    made.close()


async def _until(holds: Callable[[], object]) -> None:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def test_calls_go_on_while_both_ends_get_new_keys(two: Two) -> None:
    assert await two.says("before") == "Bob: before"
    over, answers = asyncio.Event(), 0

    async def ask() -> None:
        nonlocal answers
        while not over.is_set():
            assert await two.says("meanwhile") == "Bob: meanwhile"
            answers += 1

    asking = asyncio.ensure_future(ask())
    for name, other in (("Bob", "Alice"), ("Alice", "Bob"), ("Bob", "Alice")):
        former = two.keys[name].public
        two.keys[name] = KeyPair.new()
        two.write(other, Doors({former: Former("peers", name, time.time() + 60)}))
        await _until(lambda room=two.rooms[other]: room.counters["keys_changed"])  # type: ignore[misc]
        two.rooms[other].counters["keys_changed"] = 0
        two.write(name)
        await _until(lambda room=two.rooms[name]: room.counters["keys_changed"])  # type: ignore[misc]
        two.rooms[name].counters["keys_changed"] = 0
        so_far = answers
        await _until(lambda so_far=so_far: answers >= so_far + 20 or asking.done())  # type: ignore[misc]
    over.set()
    await asking
    late = two.ask_of("Bob")  # who dials now does so with the keys of now
    await late.ask("echo", Event(), patience=30)


async def test_a_neighbour_that_is_shut_out_is_refused_where_it_is_in_and_then_cut_off(two: Two) -> None:
    assert await two.says("before") == "Bob: before"
    two.write("Alice", Doors({}, {"Bob": "stolen"}))
    with pytest.raises(QkdbusError) as refused:  # at once, or the door has been bound anew already
        await two.on_and_on("after")
    assert isinstance(refused.value, Unauthorised | Silent)
    await _until(lambda: two.rooms["Alice"].shut_out == {"Bob": "stolen"})
    with pytest.raises(QkdbusError):
        await two.says("after", 1.0)
    two.asker.tell("told", Event())
    await asyncio.sleep(0.2)
    assert two.echo.told_by == []
    two.write("Alice")
    assert await two.says("again", 60.0) == "Bob: again"


async def test_nothing_is_said_to_a_neighbour_that_is_shut_out(two: Two) -> None:
    assert await two.says("before") == "Bob: before"
    two.write("Bob", Doors({}, {"Alice": "stolen"}))
    await _until(lambda: two.rooms["Bob"].shut_out)
    with pytest.raises(Silent):
        await two.says("after", 0.5)
    two.write("Bob")
    await _until(lambda: not two.rooms["Bob"].shut_out)
    assert await two.says("again") == "Bob: again"


async def test_a_key_file_that_is_damaged_changes_nothing(two: Two) -> None:
    _put(two.folder / "Alice" / "certs" / "node.json", json.dumps({"public_key": "x"}))
    _put(two.folder / "Bob" / "node.yaml", "not: [what it was")
    await asyncio.sleep(0.3)
    assert await two.says("still") == "Bob: still"
