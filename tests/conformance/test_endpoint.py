"""A process that runs already: what can be checked of it without touching what is around it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from qkdbus import conformance
from qkdbus.conformance.perform import NEEDS_PROCESS, at_endpoint
from qkdbus.conformance.standins import worker
from qkdbus.contracts.call import Call
from qkdbus.runtime import Room
from qkdbus.runtime.settings import NodeSettings
from qkdbus.wire.head_pb2 import Health, Ping


@pytest.fixture
async def room(settings: NodeSettings) -> Any:
    made = Room(settings, "qbackend", 0, logging.getLogger("test"))
    yield made
    made.close()


async def results_of(room: Room) -> dict[str, Any]:
    told: list[str] = []
    results = await at_endpoint(
        conformance.of("qbackend"), room.settings.ipc("qbackend.0"), lambda result: told.append(result.check.name)
    )
    assert told == [result.check.name for result in results]
    return {result.check.name: result for result in results}


async def test_a_process_that_keeps_the_rules_is_told_so_and_what_was_left_out(room: Room) -> None:
    worker.serve(room)
    results = await results_of(room)
    assert {name: str(one) for name, one in results.items() if one.verdict == "broken"} == {}
    assert {one.verdict for one in results.values() if one.check.alone} == {"holds"}
    left_out = [one for one in results.values() if one.verdict == "left out"]
    assert len(left_out) > 10 and {one.came for one in left_out} == {NEEDS_PROCESS}


@pytest.fixture
def lies(monkeypatch: pytest.MonkeyPatch) -> None:
    from qkdbus.runtime import health

    def ping(self: health.Face, request: Ping, call: Call) -> Health:
        return Health(node="Alice", layer="keysync", implementation="x", contract_version=1, since=1.0, ready=True)

    monkeypatch.setattr(health.Face, "ping", ping)


async def test_a_process_of_another_layer_is_told(room: Room, lies: None) -> None:
    worker.serve(room)
    result = (await results_of(room))["ping-says-who"]
    assert (result.verdict, result.expected, result.came) == ("broken", "layer 'qbackend'", "layer 'keysync'")
