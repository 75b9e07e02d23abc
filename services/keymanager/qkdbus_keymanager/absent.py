"""What is said of a KSID under which no application here holds a stream (rulings C10, C11; reference 1.4)."""

from __future__ import annotations

from qkdbus.contracts.call import OPERATOR
from qkdbus.errors import Refused, Unauthorised
from qkdbus.keys import KSID_NULL
from qkdbus.status import Status, unknown_stream

from .registry import Registry
from .store import Kind
from .stream import EVERYONE

DRAINED = "the other application has closed, and no key is left"
LOST = "the keys of this stream were lost: open it again"


class Absent:
    """Tells streams that never were from those that were."""

    def __init__(self, registry: Registry, strict_status: bool) -> None:
        self._registry = registry
        self.unknown = unknown_stream(strict_status)

    def explain(self, ksid: bytes, user: str) -> tuple[Status, str]:
        """Return the status and reason for a call that asks for a key."""
        check_ksid(ksid)
        stream = self._registry.streams.get(ksid)
        if stream is not None:
            check_user(user, stream.app)
        stone = self._registry.tombstones.get(ksid)
        if stone is not None:
            check_user(user, stone.app)
            if ksid in self._registry.lost:
                self._registry.lost.discard(ksid)
                return Status.NO_QKD_CONNECTION, LOST
            if stone.kind == Kind.DRAINED:
                return Status.GET_KEY_FAILED_INSUFFICIENT_KEY, DRAINED
        return self.unknown, "no such stream at this node"


def check_ksid(ksid: bytes) -> None:
    """Raise Refused unless this names a stream."""
    if len(ksid) != 16 or ksid == KSID_NULL:
        raise Refused("the KSID is not 16 octets, or all of them are zero")


def check_user(user: str, app: str) -> None:
    """Raise Unauthorised unless `user` may act for the application `app`."""
    if user not in (app, EVERYONE, OPERATOR):
        raise Unauthorised(f"{user!r} is not the application of this stream")
