"""Layers that do nothing but live: each binds its ROUTER, answers ping, and can be told by a file to behave badly.

`<node>/standin.json`, {layer: "crash" | "wait"}: end with a traceback at start; never become ready.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from qkdbus.contracts import emulator, keymanager, keysync, qbackend
from qkdbus.contracts.call import Call
from qkdbus.contracts.contract import Contract
from qkdbus.runtime import Room
from qkdbus.wire.keymanager_pb2 import ListStreams, StreamInfo, Streams
from qkdbus.wire.keysync_pb2 import Links, LinkStatus, LinkStatusAsked
from qkdbus.wire.qbackend_pb2 import Attack, Attacked, Eavesdropper

ANY = Contract("stand-in", {})


class StandIn:
    """A service."""

    def __init__(self, room: Room, contract: Contract) -> None:
        self._room = room
        self._eve: dict[str, Eavesdropper] = {}
        name = f"{room.layer}.{room.replica}" if room.layer == "qbackend" else room.layer
        behaviour = room.settings.directory / "standin.json"
        self._does = json.loads(behaviour.read_text()).get(room.layer) if behaviour.exists() else None
        if self._does == "crash":
            raise RuntimeError("told to crash")
        room.serve(room.settings.ipc(name), contract, self)

    async def start(self) -> None:
        Path(self._room.settings.directory / "state" / self._room.layer).write_text("secret")

    async def stop(self) -> None:
        pass

    def waiting_for(self) -> str:
        return "a file to say so" if self._does == "wait" else ""

    def link_status(self, request: LinkStatusAsked, call: Call) -> Links:
        links = [
            LinkStatus(peer=n.name, state="up", arbiter=n.arbiter, protocol=n.link.protocol, key_rate=1500, qber=0.01)
            for n in self._room.settings.neighbours
        ]
        return Links(links=links)

    def list_streams(self, request: ListStreams, call: Call) -> Streams:
        return Streams(streams=[StreamInfo(ksid=b"\x11" * 16, source="app1@Alice", state="ready", delivered=3)])

    def attack(self, request: Attack, call: Call) -> Attacked:
        if request.HasField("eve"):
            self._eve[request.peer] = request.eve
        return Attacked(here=True, eve=self._eve.get(request.peer, Eavesdropper()))


def _build(contract: Contract) -> Callable[[Room], StandIn]:
    return lambda room: StandIn(room, contract)


build_keymanager = _build(Contract("keymanager", {"list_streams": keymanager.CONTRACT.methods["list_streams"]}))
build_keysync = _build(Contract("keysync", {"link_status": keysync.CONTRACT.methods["link_status"]}))
build_dispatcher = _build(ANY)
build_qbackend = _build(Contract("qbackend", {"attack": qbackend.CONTRACT.methods["attack"]}))
build_emulator = _build(Contract("emulator", {"attack": emulator.CONTRACT.methods["attack"]}))
