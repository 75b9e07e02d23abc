"""The TCP doors of a layer, and who tries to come in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ..bus.curve import KeyPair
from ..wire.head_pb2 import Health, Ping
from .check import Breach, LeftOut, hold
from .line import Line
from .stage import Stage

SHORT = 2.0  # s in which silence is heard


@dataclass(frozen=True)
class Door:
    """A TCP socket of the layer at one node. `owner`: whom it lets in: neighbours or applications."""

    node: str
    name: str
    endpoint: str
    friend: KeyPair
    wrong: KeyPair  # known to the node, but at another door

    def line(self, stage: Stage, pair: KeyPair | None) -> Line:
        """Return a caller with these keys, or without any."""
        key = stage.ground.nodes[self.node].server_key if pair else ""
        return Line(stage.context, self.endpoint, pair=pair, server_key=key)


def of(stage: Stage) -> list[Door]:
    """Return the doors of the layer's processes."""
    found = []
    for name in stage.processes:
        settings, node = stage.settings(name), stage.ground.nodes[name]
        neighbour = KeyPair.read(stage.settings(settings.neighbours[0].name).certs / "node.json")
        app, ports = next(iter(node.apps.values())), settings.ports
        peers = {"keymanager": ports.keymanager, "keysync": ports.keysync, "qbackend": ports.qbackend[0]}
        if stage.layer in peers:
            at = f"tcp://{settings.host}:{peers[stage.layer]}"
            found.append(Door(name, "the neighbours' door", at, neighbour, app))
        if stage.layer == "keymanager":
            at = f"tcp://{settings.host}:{ports.north}"
            found.append(Door(name, "the applications' door", at, app, neighbour))
    return found


async def try_all(stage: Stage, door: Door) -> None:
    """Let a friend in, and strangers not. Breach; LeftOut when nobody listens there."""
    where = f"{door.name} of {door.node}"
    if not await stage.listens(door.endpoint):
        raise LeftOut(f"nothing listens at {where}")
    friend = door.line(stage, door.friend)
    try:
        (await friend.ask("ping", Ping())).read(Health)
    except Breach as breach:
        raise Breach(f"{where} answers the one whom it knows", breach.came) from None
    finally:
        friend.close()
    strangers = {"somebody without keys": None, "somebody with new keys": KeyPair.new(), "another door's": door.wrong}
    lines = {who: door.line(stage, pair) for who, pair in strangers.items()}
    try:
        silent = await asyncio.gather(*(_silent(line) for line in lines.values()))
    finally:
        for line in lines.values():
            line.close()
    for who, silence in zip(lines, silent, strict=True):
        hold(silence, f"{where} is silent to {who}", "an answer")


async def _silent(line: Line) -> bool:
    try:
        await line.ask("ping", Ping(), patience=SHORT)
    except Breach:
        return True
    return False
