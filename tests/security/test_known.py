"""Who is known at a door: keys of today, former keys while they are good, nobody who is shut out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from zmq.utils import z85

from qkdbus.bus.curve import AppsFile, KeyPair
from qkdbus.bus.known import LOOK_EVERY, Doors, DoorsFile, Former, Known

OLD, NEW, OTHER = KeyPair.new().public, KeyPair.new().public, KeyPair.new().public


class Gate:
    """A door with files in a folder, and clocks that stand still until they are moved."""

    def __init__(self, folder: Path) -> None:
        self.now, self.passed = 1000.0, 0.0
        self.apps, self.doors = folder / "apps.json", folder / "doors.json"
        self.north = self.known("north", AppsFile(self.apps))
        self.neighbours: Mapping[bytes, str] = {_key(NEW): "Bob", _key(OTHER): "Charlie"}
        self.peers = self.known("peers", lambda: self.neighbours)

    def known(self, door: str, today: AppsFile | object) -> Known:
        return Known(door, today, DoorsFile(self.doors), lambda: self.now, lambda: self.passed)  # type: ignore[arg-type]

    def say(self, doors: Doors) -> None:
        _replace(self.doors, doors.text)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.passed += seconds


def _key(public: str) -> bytes:
    return z85.decode(public.encode())


def _replace(file: Path, text: str) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(file)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    made = Gate(tmp_path)
    _replace(made.apps, json.dumps({"app1": NEW}))
    return made


def test_a_former_key_lets_in_until_its_time_is_over(gate: Gate) -> None:
    gate.say(Doors({OLD: Former("north", "app1", 1060.0)}))
    assert gate.north()[_key(OLD)] == gate.north()[_key(NEW)] == "app1"
    assert gate.north.still("app1", OLD)
    assert gate.north.still("app1", NEW)
    gate.later(59.0)
    assert gate.north.still("app1", OLD)
    gate.later(1.0)
    assert _key(OLD) not in gate.north()
    assert not gate.north.still("app1", OLD)
    assert gate.north.still("app1", NEW)


def test_a_former_key_is_for_its_own_door_and_for_who_is_still_known(gate: Gate) -> None:
    gate.say(Doors({OLD: Former("north", "app1", 1060.0), OTHER: Former("north", "gone", 1060.0)}))
    assert _key(OLD) not in gate.peers()
    assert _key(OTHER) not in gate.north(), "an application that was revoked has no former key either"


def test_who_is_shut_out_is_let_in_with_no_key_also_where_it_is_in(gate: Gate) -> None:
    assert gate.peers.still("Bob", NEW)
    gate.say(Doors({OLD: Former("peers", "Bob", 1060.0)}, {"Bob": "stolen"}))
    gate.later(LOOK_EVERY)
    assert not gate.peers.still("Bob", NEW)
    assert not gate.peers.still("Bob", OLD)
    assert gate.peers() == {_key(OTHER): "Charlie"}
    gate.say(Doors())
    gate.later(LOOK_EVERY)
    assert gate.peers.still("Bob", NEW)


def test_an_application_is_not_shut_out_for_its_name(gate: Gate) -> None:
    gate.say(Doors({}, {"app1": "a node of that name"}))
    assert gate.north()[_key(NEW)] == "app1"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"former": 1}', '{"former": {"x": {}}}', '{"shut_out": ["Bob"]}'])
def test_a_damaged_file_closes_the_doors(gate: Gate, text: str) -> None:
    _replace(gate.doors, text)
    assert gate.peers() == gate.north() == {}
    assert not gate.peers.still("Bob", NEW)


def test_a_key_that_is_new_at_a_door_is_known_at_once(gate: Gate) -> None:
    assert not gate.peers.still("Bob", OLD)
    gate.neighbours = {**gate.neighbours, _key(OLD): "Bob"}
    assert gate.peers.still("Bob", OLD), "no time passes between the handshake and the first message"


def test_what_is_said_of_doors_reads_back() -> None:
    said = Doors({OLD: Former("north", "app1", 1.5)}, {"Bob": 'a "reason"\n'})
    assert Doors.of(json.loads(said.text)) == said
