"""What a process shows of itself at its endpoint: a lie of any layer is caught there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from google.protobuf.message import Message

from qkdbus import conformance
from qkdbus.conformance import Result, standing
from qkdbus.conformance.perform import at_endpoint
from qkdbus.errors import Refused
from qkdbus.network.model import LAYERS, LayerName
from qkdbus.runtime import Room
from qkdbus.runtime.settings import NodeSettings
from qkdbus.wire import dispatcher_pb2 as dispatcher
from qkdbus.wire import emulator_pb2 as emulator
from qkdbus.wire import keymanager_pb2 as keymanager
from qkdbus.wire import keysync_pb2 as keysync
from qkdbus.wire import qbackend_pb2 as qbackend

KSID, OTHER_KSID, OID = b"k" * 16, b"l" * 16, b"o" * 16
Answers = Mapping[str, Message]
Ask = Callable[[LayerName, Answers, str], Any]


def stream(ksid: bytes = KSID, **other: Any) -> keymanager.StreamInfo:
    more = {"source": "a@Alice", "destination": "b@Bob", "state": "ready", "qos": keymanager.QoS(key_chunk_size=32)}
    return keymanager.StreamInfo(ksid=ksid, **{**more, **other})


def link(peer: str = "Bob", **other: Any) -> keysync.LinkStatus:
    return keysync.LinkStatus(peer=peer, **{"state": "up", **other})


def worker(number: int, **other: Any) -> dispatcher.WorkerInfo:
    return dispatcher.WorkerInfo(worker=number, **{"state": "ready", "capacity": 2, **other})


GOOD: dict[LayerName, Answers] = {
    "keymanager": {
        "list_streams": keymanager.Streams(streams=[stream(), stream(OTHER_KSID, state="half")]),
        "get_key": keymanager.Key(status=9),
        "get_keys": keymanager.Keys(status=3),
        "close": keymanager.Closed(status=9),
    },
    "keysync": {
        "link_status": keysync.Links(links=[link(), link("Charlie", state="alarm", alarm="QBER 0.2", qber=0.2)]),
        "list_opens": keysync.Opens(oids=[OID]),
        "take": keysync.Taken(state=keysync.GONE),
    },
    "dispatcher": {
        "list_workers": dispatcher.Workers(workers=[worker(0, running=3), worker(1, reserved=2)]),
        "cancel": dispatcher.Cancelled(),
    },
    "qbackend": {"abort": qbackend.Aborted(), "attack": qbackend.Attacked()},
    "emulator": {"list_lines": emulator.Lines(peers_up=["Bob", "Dora"])},
}
LIES: list[tuple[LayerName, Answers, str, str]] = [
    ("keymanager", {"list_streams": keymanager.Streams(streams=[stream(), stream()])}, "streams-are-listed", "again"),
    ("keymanager", {"list_streams": keymanager.Streams(streams=[stream(b"k")])}, "streams-are-listed", "1 octets"),
    ("keymanager", {"list_streams": keymanager.Streams(streams=[stream(state="?")])}, "streams-are-listed", "'?'"),
    ("keymanager", {"get_key": keymanager.Key(key=b"x")}, "an-unknown-stream-is-told", "one"),
    ("keymanager", {"get_keys": keymanager.Keys(status=2)}, "an-unknown-stream-is-told", "status 2"),
    ("keymanager", {"close": keymanager.Closed()}, "an-unknown-stream-is-told", "status 0"),
    ("keysync", {"link_status": keysync.Links(links=[link(), link()])}, "links-are-listed", "again"),
    ("keysync", {"link_status": keysync.Links(links=[link(state="alarm")])}, "links-are-listed", "none"),
    ("keysync", {"link_status": keysync.Links(links=[link(qber=1.5)])}, "links-are-listed", "1.5"),
    ("keysync", {"link_status": keysync.Links(links=[link(key_rate=float("nan"))])}, "links-are-listed", "nan"),
    ("keysync", {"link_status": keysync.Links(links=[link(created=1, kept=2)])}, "links-are-listed", "2 of 1"),
    ("keysync", {"list_opens": keysync.Opens(oids=[OID, OID])}, "associations-are-listed", "again"),
    ("keysync", {"take": keysync.Taken(state=keysync.OPEN)}, "an-unknown-association-is-gone", "OPEN"),
    ("dispatcher", {"list_workers": dispatcher.Workers()}, "workers-add-up", "none"),
    ("dispatcher", {"list_workers": dispatcher.Workers(workers=[worker(0), worker(0)])}, "workers-add-up", "again"),
    ("dispatcher", {"list_workers": dispatcher.Workers(workers=[worker(0, reserved=3)])}, "workers-add-up", "3"),
    ("qbackend", {"attack": qbackend.Attacked(here=True)}, "no-channel-to-nobody-is-here", "here"),
    ("emulator", {"list_lines": emulator.Lines(peers_up=["Bob", "Bob"])}, "neighbours-are-listed", "again"),
    ("emulator", {"create_pairs": emulator.Batch()}, "a-peer-without-a-link-is-refused", "OK"),
]


class Says:
    """A process that gives one answer to each method; what it has none for it refuses."""

    def __init__(self, layer: str, answers: Answers) -> None:
        self._methods, self._answers = conformance.of(layer).contract.methods, answers

    def __getattr__(self, method: str) -> Callable[..., Message]:
        if method not in self._methods:
            raise AttributeError(method)

        def answer(request: Message, call: object) -> Message:
            if method not in self._answers:
                raise Refused("no")
            return self._answers[method]

        return answer


@pytest.fixture
async def ask(settings: NodeSettings) -> Any:
    """Make the standing checks of a layer (or one) against a process that says just this."""
    rooms = []

    async def run(layer: LayerName, answers: Answers, only: str = "") -> dict[str, Result]:
        rooms.append(room := Room(settings, layer, 0, logging.getLogger("test")))
        room.serve(endpoint := settings.ipc("said"), conformance.of(layer).contract, Says(layer, answers))
        names = [only] if only else [check.name for check in standing.of(layer)]
        results = await at_endpoint(conformance.of(layer), endpoint, lambda result: None, names)
        return {result.check.name: result for result in results}

    yield run
    for room in rooms:
        room.close()


@pytest.mark.parametrize("layer", LAYERS)
async def test_what_is_true_is_believed(ask: Ask, layer: LayerName) -> None:
    results = await ask(layer, GOOD[layer], "")
    assert len(results) >= 3
    assert {name: str(one) for name, one in results.items() if one.verdict != "holds"} == {}


@pytest.mark.parametrize(("layer", "lie", "check", "came"), LIES, ids=[f"{each[2]}: {each[3]}" for each in LIES])
async def test_a_lie_is_caught(ask: Ask, layer: LayerName, lie: Answers, check: str, came: str) -> None:
    result = (await ask(layer, {**GOOD[layer], **lie}, check))[check]
    assert (result.verdict, came in result.came) == ("broken", True), result
