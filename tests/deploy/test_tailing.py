"""Logs read on by somebody who asks again and again: nothing twice, nothing left out, over rotations."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from qkdbus_deploy import tailing


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "N0" / "logs").mkdir(parents=True)
    return tmp_path / "N0" / "logs" / "keysync.log"


def write(log: Path, *events: str, level: str = "info") -> None:
    with log.open("a") as file:
        for at, event in enumerate(events):
            file.write(json.dumps({"at": float(at), "level": level, "event": event}) + "\n")


def read(
    network: Path, cursors: dict[str, tuple[int, int]], level: str = "debug"
) -> tuple[list[str], dict[str, tuple[int, int]]]:
    lines, cursors = tailing.since(network, cursors, level, 0.0)
    assert all((line.node, line.program) == ("N0", "keysync") for line in lines)
    return [line.event for line in lines], cursors


def test_reading_begins_now_and_goes_on_where_it_ended(tmp_path: Path, log: Path) -> None:
    write(log, "before")
    cursors = tailing.here(tmp_path, ["N0/keysync"])
    write(log, "a", "b")
    found, cursors = read(tmp_path, cursors)
    assert found == ["a", "b"]
    assert read(tmp_path, cursors)[0] == []
    with log.open("a") as file:
        file.write('{"at": 1.0, "level": "info", ')  # half a line is not a line
    found, cursors = read(tmp_path, cursors)
    assert found == []
    with log.open("a") as file:
        file.write('"event": "c"}\n')
    assert read(tmp_path, cursors)[0] == ["c"]


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(tmp_path: Path, log: Path) -> None:
    write(log, "a")
    cursors = tailing.here(tmp_path, ["N0/keysync"])
    write(log, "b", "c")
    log.rename(log.with_name("keysync.log.1"))
    write(log, "d")
    found, cursors = read(tmp_path, cursors)
    assert sorted(found) == ["b", "c", "d"]  # in the order of their times
    write(log, "e")
    assert read(tmp_path, cursors)[0] == ["e"]


def test_a_log_that_is_not_there_yet_is_read_when_it_is(tmp_path: Path, log: Path) -> None:
    cursors = tailing.here(tmp_path, ["N0/keysync"])
    found, cursors = read(tmp_path, cursors)
    assert found == []
    write(log, "a")
    assert read(tmp_path, cursors)[0] == ["a"]


def test_only_what_matters_is_told(tmp_path: Path, log: Path) -> None:
    cursors = tailing.here(tmp_path, ["N0/keysync"])
    write(log, "a")
    write(log, "b", level="error")
    assert read(tmp_path, cursors, "warning")[0] == ["b"]


def test_a_line_that_comes_ends_the_wait(tmp_path: Path, log: Path) -> None:
    cursors = tailing.here(tmp_path, ["N0/keysync"])
    threading.Timer(0.2, write, (log, "late")).start()
    began = time.monotonic()
    lines, _ = tailing.since(tmp_path, cursors, "debug", 30.0)
    assert [line.event for line in lines] == ["late"]
    assert time.monotonic() - began < 20  # and not when the patience is over
