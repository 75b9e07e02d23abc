"""What a node next door may have kept here is bounded."""

from __future__ import annotations

import pytest

from qkdbus.errors import Refused, Unavailable
from qkdbus_qbackend.emulators.simulaqron import lines
from qkdbus_qbackend.emulators.simulaqron.lines import LONGEST_NAME, Lines
from qkdbus_qbackend.emulators.simulaqron.meeting import NONSENSE, Link


def test_one_peer_has_only_so_many_lines_and_no_other_minds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 3)
    book = Lines()
    for name in "abc":
        book.open("Mallory", name, "sink", 0.0)
    with pytest.raises(Unavailable, match="3 lines to Mallory"):
        book.open("Mallory", "d", "sink", 0.0)
    assert book.open("Mallory", "a", "sink", 0.0).name == "a"
    assert book.open("Alice", "d", "sink", 0.0).name == "d"
    book.end("Mallory", "a", "discarded", 0.0)
    assert book.open("Mallory", "d", "sink", 0.0).name == "d"


def test_a_line_has_a_short_name() -> None:
    with pytest.raises(Refused, match="characters"):
        Lines().open("Mallory", "x" * (LONGEST_NAME + 1), "sink", 0.0)


@pytest.mark.parametrize("said", [None, 7, b"line", ["line"], {"line": 1}, "x" * (LONGEST_NAME + 1)])
def test_what_a_broker_can_carry_and_is_no_name_is_not_passed_on(said: object) -> None:
    class Nobody:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was asked")

    link = Link("Mallory", Nobody())  # type: ignore[arg-type]
    assert link.remote_arrived(said, 1, 1) == NONSENSE  # type: ignore[arg-type]
    assert link.remote_arrived("line", -1, 1) == NONSENSE
    assert link.remote_measure(said, 1, b"") == (b"", NONSENSE)  # type: ignore[arg-type]
    link.remote_forget(said)  # type: ignore[arg-type]
