"""The painter on a terminal of its own: what it shows, what it hears, and that it leaves nothing behind."""

from __future__ import annotations

import os
import pty
import select
import signal
import termios
from collections.abc import Iterator

import pytest

from qkdbus_deploy.watching.painter import Painter, Terminated, fitted

LEFT = "\x1b[?1049l"


class Screen:
    """A terminal: what is written to it, and its keyboard."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self.out = os.fdopen(os.dup(self.slave), "w")
        self.before = termios.tcgetattr(self.slave)

    def shown(self) -> str:
        """All that was written, up to the way back to the old screen (or for 30 s)."""
        self.out.flush()
        text = ""
        while LEFT not in text and select.select([self._master], [], [], 30.0)[0]:
            text += os.read(self._master, 1 << 16).decode()
        return text

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def as_found(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        self.out.close()
        os.close(self.slave)
        os.close(self._master)


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


def test_a_table_takes_the_place_of_the_last_one_and_the_screen_comes_back(screen: Screen) -> None:
    painter = Painter(screen.out, screen.slave)
    with painter.screen():
        painter.paint(["first"])
        painter.paint(["second"])
        assert not screen.as_found(), "keys come one by one"
    text = screen.shown()
    assert text.index("\x1b[?1049h") < text.index("first") < text.index("second") < text.index("\x1b[?1049l")
    assert text.count("\x1b[H") == 2
    assert text.index("\x1b[?25l") < text.index("\x1b[?25h"), "the cursor is back"
    assert screen.as_found()


def test_a_key_is_heard_without_enter(screen: Screen) -> None:
    painter = Painter(screen.out, screen.slave)
    with painter.screen():
        assert painter.key(0.0) == ""
        screen.type("c")
        assert painter.key(30.0) == "c"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whatever_ends_it_the_terminal_is_as_it_was(screen: Screen, number: signal.Signals) -> None:
    handler = signal.getsignal(number)

    def painted() -> None:
        with Painter(screen.out, screen.slave).screen():
            os.kill(os.getpid(), number)
            signal.pause()

    with pytest.raises((Terminated, KeyboardInterrupt)):
        painted()
    assert screen.as_found()
    assert "\x1b[?1049l" in screen.shown()
    assert signal.getsignal(number) == handler


def test_a_small_screen_shows_what_fits_and_says_how_much_does_not() -> None:
    assert fitted(["abcdef", "b", "c", "d"], 3, 3) == ["abc", "b", "..."]
    assert fitted(["a", "b", "c", "d"], 80, 3)[-1] == "... 2 more lines: a higher window shows them"
    assert fitted(["a", "b"], 80, 2) == ["a", "b"]


def test_what_a_service_says_cannot_steer_the_terminal() -> None:
    assert fitted(["alarm \x1b[2J\x07!"], 80, 5) == ["alarm ?[2J?!"]
