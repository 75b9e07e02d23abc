"""A dispatcher that breaks a rule of the bus: `bus.py RULE NODE_DIR`."""

from __future__ import annotations

import os
import sys
from typing import Any

from qkdbus.bus import server
from qkdbus.bus.answers import Answers
from qkdbus.bus.frames import NotOurs, split
from qkdbus.bus.server import Server
from qkdbus.errors import QkdbusError
from qkdbus.runtime import health, main, room
from qkdbus.wire.head_pb2 import Head
from qkdbus_dispatcher.build import build


class Dies(Server):
    """Ends its process at the first message that is none."""

    def _take(self, user: str, frames: list[bytes]) -> None:
        try:
            split(frames)
        except QkdbusError:
            os._exit(3)
        super()._take(user, frames)


class Forgets(Server):
    """Carries a call out as often as it is sent."""

    def _seen_before(self, reply: Any) -> bool:
        return False


class Obliging(Server):
    """Answers a method that it does not know, as if it were `ping`."""

    def _take(self, user: str, frames: list[bytes]) -> None:
        try:
            envelope, head, body = split(frames)
            if head.method not in self._served:
                frames = [*envelope, b"qkdbus/1", Head(method="ping", call=head.call).SerializeToString(), body]
        except NotOurs:
            pass
        super()._take(user, frames)


class Short(Answers):
    """Keeps 32 bits of the number of a call."""

    def send(self, envelope: list[bytes], answer: tuple[bytes, bytes]) -> None:
        head = Head.FromString(answer[0])
        head.call &= 0xFFFFFFFF
        super().send(envelope, (head.SerializeToString(), answer[1]))


class AnyVersion(Server):
    """Serves every version of the protocol."""

    def _take(self, user: str, frames: list[bytes]) -> None:
        at = frames.index(b"") + 1 if b"" in frames else len(frames)
        if len(frames) == at + 3:
            frames[at] = b"qkdbus/1"
        super()._take(user, frames)


RULES = {
    "dies": Dies,
    "forgets": Forgets,
    "obliging": Obliging,
    "any-version": AnyVersion,
}

if __name__ == "__main__":
    rule, directory = sys.argv.pop(1), sys.argv[-1]
    if rule == "tells":  # its secret key, to whoever asks for its configuration
        configuration = open(f"{directory}/certs/node.json").read  # noqa: SIM115
        health.Vitals.configuration = property(lambda self: configuration, lambda self, value: None)  # type: ignore
    elif rule == "open-files":
        os.umask(0)
        with open(f"{directory}/state/notes", "w") as notes:
            notes.write("for everybody")
    elif rule == "short-numbers":
        server.Answers = Short  # type: ignore[attr-defined]
    else:
        room.Server = RULES[rule]  # type: ignore[attr-defined]
    main("dispatcher", build)
