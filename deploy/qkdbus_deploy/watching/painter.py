"""Painting a table again and again in one place of a terminal, and hearing single keys; whatever happens, it is left
as it was found."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # another screen, without a cursor; back
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


class Terminated(BaseException):
    """Raised when the process is told to end, so that the terminal is put right on the way out."""


def fitted(lines: Sequence[str], width: int, height: int) -> list[str]:
    """Cut lines so that they fit on a screen; the last one says how many did not."""
    if len(lines) > height:
        hidden = len(lines) - height + 1
        lines = [*lines[: height - 1], f"... {hidden} more lines: a higher window shows them"]
    return ["".join(c if c.isprintable() else "?" for c in line[:width]) for line in lines]


class Painter:
    """A screen of its own on `out`, and the keys of `keys` (None: nobody types)."""

    def __init__(self, out: TextIO = sys.stdout, keys: int | None = None) -> None:
        self._out, self._keys = out, keys

    @contextmanager
    def screen(self) -> Iterator[None]:
        """Take the terminal over, and give it back."""
        before: list[Any] | None = None
        handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}

        def end(number: int, frame: object) -> None:
            raise Terminated

        try:
            for number in handlers:
                signal.signal(number, end)
            if self._keys is not None:
                before = termios.tcgetattr(self._keys)
                tty.setcbreak(self._keys)
            self._write(_ENTER)
            yield
        finally:
            if before is not None:
                termios.tcsetattr(self._keys, termios.TCSADRAIN, before)  # type: ignore[arg-type]  # there are keys
            self._write(_LEAVE)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def paint(self, lines: Sequence[str]) -> None:
        """Show lines from the top; what was there before goes."""
        size = shutil.get_terminal_size()
        shown = fitted(lines, size.columns, size.lines)
        self._write(_HOME + (_REST_OF_LINE + "\r\n").join(shown) + _REST_OF_LINE + _REST)

    def key(self, within: float) -> str:
        """Return the key that is pressed within so many seconds; "" when none is."""
        if not select.select([] if self._keys is None else [self._keys], [], [], max(0.0, within))[0]:
            return ""
        assert self._keys is not None
        typed = os.read(self._keys, 64)
        return typed[:1].decode(errors="replace") if typed else "q"  # nobody can type any more

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
