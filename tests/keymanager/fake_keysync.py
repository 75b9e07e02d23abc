"""The small keysync that conformance has, asked without sockets: its answers may be lost, and time may jump."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from qkdbus.conformance.standins import keysync
from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Silent
from qkdbus.wire.head_pb2 import Event

if TYPE_CHECKING:
    from .network import Site

EPOCH = 1_700_000_000.0
CALL = Call(OPERATOR)


def now() -> float:
    return asyncio.get_running_loop().time()


def clock() -> float:
    return EPOCH + now()


class Link(keysync.Link):
    """What the two keysyncs of a link agree on."""

    def __init__(self) -> None:
        super().__init__(clock)


class FakeKeySync(keysync.KeySync):
    """One end's keysync, which may be silent, or lose the answers of some methods (`deaf_to`)."""

    def __init__(self, link: Link, name: str) -> None:
        super().__init__(link, name, self._publish)
        self.silent = False
        self.deaf_to: set[str] = set()
        self.asked: list[str] = []
        self.site: Site | None = None

    def _publish(self, event: str, **fields: str) -> None:
        if self.site is not None and self.site.manager is not None:
            self.site.manager.heard(Event(name=event, fields=fields))

    async def ask(self, method: str, request: Message, *, patience: float | None = None) -> Message:
        await asyncio.sleep(0.001)
        if self.silent:
            await asyncio.sleep(patience or 5)
            raise Silent(method)
        self.asked.append(method)
        answer: Message = getattr(self, method)(request, CALL)
        if method in self.deaf_to:
            await asyncio.sleep(patience or 5)
            raise Silent(method)
        await asyncio.sleep(0.001)
        return type(answer).FromString(answer.SerializeToString())
