"""Why an exchange gave no key."""

from __future__ import annotations

from qkdbus.errors import QkdbusError


class NoKey(QkdbusError):
    """Raised when an exchange ends without a block: `reason` in a few words, without secrets.

    `alarm`: the QBER is beyond its threshold, which an eavesdropper would cause.
    """

    def __init__(self, reason: str, *, alarm: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.alarm = alarm


class Broken(NoKey):
    """Raised when the other end says what the protocol does not allow."""
