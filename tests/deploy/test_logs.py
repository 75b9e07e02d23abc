"""Logs of a node: merged in time order, filtered, followed over a rotation."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy import logbook


def line(at: float, event: str, level: str = "info", **fields: object) -> str:
    return json.dumps({"at": at, "level": level, "event": event, **fields})


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def write(node: Path, name: str, *lines: str) -> None:
    with (node / "logs" / name).open("a") as out:
        out.write("".join(text + "\n" for text in lines))


def events(lines: Any) -> list[str]:
    return [one.event for one in lines]


def test_the_logs_of_all_layers_are_merged_in_time_order(node: Path) -> None:
    write(node, "keysync.log", line(1, "a"), line(3, "c"), line(5, "e"))
    write(node, "keymanager.log", line(2, "b"), line(4, "d"))
    names = logbook.programs(node)
    assert events(logbook.last(node, names, 10, "debug")) == ["a", "b", "c", "d", "e"]
    assert events(logbook.last(node, names, 2, "debug")) == ["d", "e"]
    assert logbook.last(node, names, 0, "debug") == []


def test_lines_that_are_not_ours_stay_where_they_were_written(node: Path) -> None:
    write(node, "keysync.log", line(1, "a"), "Traceback (most recent call last):", '  File "x"', line(4, "b"))
    write(node, "dispatcher.log", line(2, "between"))
    merged = events(logbook.last(node, ["keysync", "dispatcher"], 10, "error"))
    assert merged == ["Traceback (most recent call last):", '  File "x"']
    everything = events(logbook.last(node, ["keysync", "dispatcher"], 10, "debug"))
    assert everything == ["a", "Traceback (most recent call last):", '  File "x"', "between", "b"]


def test_a_level_leaves_out_what_matters_less(node: Path) -> None:
    write(node, "keysync.log", line(1, "a", "debug"), line(2, "b", "warning"), line(3, "c"), line(4, "d", "critical"))
    assert events(logbook.last(node, ["keysync"], 10, "warning")) == ["b", "d"]


def test_the_log_of_supervisord_has_times_and_levels(node: Path) -> None:
    write(node, "supervisord.log", "2026-01-02 03:04:05,678 WARN exited: keysync (terminated by SIGKILL; not expected)")
    [found] = logbook.last(node, ["supervisord"], 1, "warning")
    assert found.event.startswith("exited: keysync") and found.level == "warning"
    assert time.localtime(found.at)[:6] == (2026, 1, 2, 3, 4, 5) and round(found.at % 1, 3) == 0.678


def test_older_lines_come_out_of_rotated_files(node: Path) -> None:
    write(node, "keysync.log.2", line(1, "a"))
    write(node, "keysync.log.1", line(2, "b"))
    write(node, "keysync.log", line(3, "c"))
    assert events(logbook.last(node, ["keysync"], 3, "debug")) == ["a", "b", "c"]


def test_following_goes_over_a_rotation_without_a_gap(node: Path) -> None:
    log = node / "logs" / "keysync.log"
    write(node, "keysync.log", line(0, "before"))
    coming = logbook.follow({node: ["keysync"]}, "debug", every=0.005)

    def writes() -> None:
        for number in range(60):
            if number % 20 == 10:
                log.rename(log.with_name(f"keysync.log.{number}"))
            with log.open("a") as out:
                text = line(number, str(number)) + "\n"
                out.write(text[:7])  # a reader may see half a line
                out.flush()
                out.write(text[7:])
            time.sleep(0.002)

    first = threading.Timer(0.05, writes)
    first.start()
    assert [next(coming).event for _ in range(60)] == [str(number) for number in range(60)]
    first.join()


def test_the_command_shows_all_layers_of_a_node(running: Any) -> None:
    text = running.run("logs", "N0").stdout
    assert "keysync" in text and "dispatcher" in text and "spawned: 'keymanager'" in text
    assert "started" in running.run("logs", "N0", "keysync", "-n", "1").stdout
    for raw in running.run("logs", "N0", "--json").stdout.splitlines():
        assert {"at", "event", "level"} <= set(json.loads(raw))
    assert "no layer 'keysink' in N0: did you mean keysync?" in running.run("logs", "N0", "keysink", code=2).stderr
