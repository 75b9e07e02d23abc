"""Who asks, and how long they wait: the second argument of every method of a layer."""

from __future__ import annotations

from dataclasses import dataclass

OPERATOR = "operator"  # whoever may open the node's own ipc sockets (mode 0700: the user who deployed)


@dataclass(slots=True)
class Call:
    """One call as the server sees it.

    Attributes:
        user: the authenticated name behind the socket: an application or a neighbour (CURVE, ZAP), or OPERATOR.
        caller: 16 random bytes of the caller object, or empty.
        number: the call's number at that caller; 0 for a notice.
        settled: every call of that caller below this has been answered.
        patience: s that the caller waits, 0 when it does not say.
        trace: 8 bytes that follow the call through the layers (a ninth: somebody wants to read it), or empty.
    """

    user: str
    caller: bytes = b""
    number: int = 0
    settled: int = 0
    patience: float = 0.0
    trace: bytes = b""
