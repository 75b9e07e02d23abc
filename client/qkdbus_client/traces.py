"""A trace for each call: what follows it through the layers, and by which their logs are read."""

from __future__ import annotations

import os

from qkdbus.trace import SIZE, new, read

Wish = str | bytes | bool | None
_ALL = (1 << 8 * SIZE) - 1


class Traces:
    """The traces of one client.

    `wish`: None gives each call a trace that the logs mention only at level debug. True has each call logged at info
    by every layer that it reaches; a trace of one's own (8 octets, or 16 hexadecimal digits) does so too, and is the
    same for all calls. ValueError when it is no trace.
    """

    def __init__(self, wish: Wish) -> None:
        self._watch = wish is True
        self._own = b"" if isinstance(wish, bool) or wish is None else read(wish)
        self._number = int.from_bytes(os.urandom(SIZE), "big")  # counted on: a call costs no random octets

    def next(self) -> bytes:
        """Return the trace of the next call."""
        if self._own:
            return self._own
        if self._watch:
            return new(watch=True)
        self._number = (self._number + 1) & _ALL
        return self._number.to_bytes(SIZE, "big")
