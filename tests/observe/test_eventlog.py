"""Events kept on disk, and told to a reader: all of them, once, and gaps said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from qkdbus.bus.events import Publisher
from qkdbus.runtime.eventlog import EventLog
from qkdbus.wire.head_pb2 import Event
from qkdbus_deploy import logbook, tailing
from qkdbus_deploy.logbook import Line
from qkdbus_deploy.watching import eventbook


def event(number: int, name: str = "alarm", **fields: str) -> Event:
    return Event(number=number, at=1e9 + number, node="Alice", layer="keysync", name=name, fields=fields)


class Kept:
    """An event log in a node's folder."""

    def __init__(self, folder: Path, largest: int = 1 << 20) -> None:
        self.node = folder / "Alice"
        (self.node / "logs").mkdir(parents=True)
        self.file = self.node / "logs" / "keysync.events.log"
        self.lost = 0
        self.log = EventLog(self.file, ["available"], self._lose, largest)

    def _lose(self) -> None:
        self.lost += 1

    def lines(self, count: int = 10_000) -> list[Line]:
        return logbook.last(self.node, ["keysync.events"], count, "debug")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_what_was_published_is_read_back(kept: Kept) -> None:
    kept.log.keep(event(1, reason="QBER 0.2", peer="Bob"))
    [line] = kept.lines()
    assert (line.event, line.node, line.at, line.program) == ("alarm", "Alice", 1e9 + 1, "keysync.events")
    assert line.fields["reason"] == "QBER 0.2"
    assert kept.file.stat().st_mode & 0o777 == 0o600


def test_signals_are_counted_not_kept(kept: Kept) -> None:
    for number, name in enumerate(("alarm", "available", "available", "clear"), 1):
        kept.log.keep(event(number, name))
    assert [(line.event, line.fields.get("unkept")) for line in kept.lines()] == [("alarm", None), ("clear", 2)]
    assert [line.event for line in eventbook.once(kept.lines())] == ["alarm", "clear"], "no gap"


def test_the_log_is_bounded_and_its_newest_events_stay(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 2000)
    for number in range(1, 201):
        kept.log.keep(event(number))
    sizes = [file.stat().st_size for file in kept.file.parent.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 2000
    numbers = [line.fields["number"] for line in kept.lines()]
    assert numbers == list(range(201 - len(numbers), 201))


def test_a_field_cannot_take_the_place_of_what_an_event_is(kept: Kept) -> None:
    made = event(1)
    made.fields.update({"node": "Mallory", "event": "clear", "at": "0", "number": "99"})
    kept.log.keep(made)
    [line] = kept.lines()
    assert (line.node, line.event, line.fields["node"], line.fields["number"]) == ("Alice", "alarm", "Alice", 1)


def test_publishing_goes_on_when_nothing_can_be_kept(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    broken = EventLog(tmp_path / "full", [], kept._lose)  # a folder: cannot be opened for writing
    broken.keep(event(1))
    broken.keep(event(2))
    assert kept.lost == 2


def test_it_goes_on_after_the_disk_has_had_no_room(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    write = os.write
    monkeypatch.setattr(os, "write", lambda number, data: write(number, data[:10]))
    kept.log.keep(event(1))
    monkeypatch.setattr(os, "write", write)
    kept.log.keep(event(2))
    assert kept.lost == 1
    assert json.loads(kept.file.read_text().splitlines()[-1])["number"] == 2, "on a line of its own"


def line(number: int, *, at: float | None = None, raw: str = "{}", **fields: object) -> Line:
    """An event as it was read."""
    when = 1e9 + number if at is None else at
    said = {"layer": "keysync", "replica": 0, "number": number, **fields}
    return Line(when, "Alice", "keysync.events", "info", "alarm", said, raw)


def heard(number: int, *, at: float | None = None) -> Line:
    """An event as it came from the socket: the same, but for how many were not kept."""
    return line(number, at=at, raw="")


def told(*lines: Line) -> list[tuple[str, object]]:
    return [(one.event, one.fields.get("missing", one.fields.get("number"))) for one in eventbook.once(lines)]


def test_an_event_heard_and_read_is_told_once() -> None:
    assert told(line(1), line(2), line(1), line(2), line(3)) == [("alarm", 1), ("alarm", 2), ("alarm", 3)]


def test_a_gap_is_told_with_its_size() -> None:
    assert told(line(1), line(5)) == [("alarm", 1), ("gap", 3), ("alarm", 5)]


def test_what_was_only_not_kept_is_no_gap() -> None:
    assert told(line(1), line(5, unkept=3)) == [("alarm", 1), ("alarm", 5)]
    assert told(line(1), line(7, unkept=3)) == [("alarm", 1), ("gap", 2), ("alarm", 7)]


def test_what_came_before_the_ear_listened_is_no_gap() -> None:
    """11 to 14 are signals, which are not kept; the ear listens from 13 or 15 on."""
    assert told(line(10), heard(15), line(15, unkept=4)) == [("alarm", 10), ("alarm", 15)]
    assert told(line(10), line(15, unkept=4), heard(15)) == [("alarm", 10), ("alarm", 15)]
    assert told(line(10), heard(13), heard(14), line(15, unkept=4)) == [("alarm", n) for n in (10, 13, 14, 15)]
    assert told(heard(13), heard(14), line(15, unkept=4)) == [("alarm", n) for n in (13, 14, 15)]


def test_a_gap_in_what_is_kept_is_told_beside_what_is_heard() -> None:
    assert told(line(10), heard(13), line(15, unkept=2)) == [("alarm", 10), ("alarm", 13), ("gap", 2), ("alarm", 15)]
    assert told(line(10), heard(15), line(15)) == [("alarm", 10), ("alarm", 15), ("gap", 4)]


def test_what_could_not_be_kept_but_was_heard_is_no_gap() -> None:
    assert told(line(1), heard(2), heard(3), line(4)) == [("alarm", n) for n in (1, 2, 3, 4)]
    assert told(line(1), heard(2), line(4)) == [("alarm", 1), ("alarm", 2), ("gap", 1), ("alarm", 4)]


def test_a_gap_in_what_is_only_heard_is_told() -> None:
    assert told(heard(5), heard(6), heard(9)) == [("alarm", 5), ("alarm", 6), ("gap", 2), ("alarm", 9)]


@pytest.mark.parametrize("event", [line, heard])
def test_a_service_that_has_started_anew_counts_from_one(event: Callable[..., Line]) -> None:
    assert told(event(7), event(1, at=2e9)) == [("alarm", 7), ("alarm", 1)]
    assert told(event(7), event(3, at=2e9)) == [("alarm", 7), ("gap", 2), ("alarm", 3)]
    assert told(event(7), event(1, at=2e9), event(8)) == [("alarm", 7), ("alarm", 1), ("alarm", 8)], "late"


def test_a_late_event_is_no_restart() -> None:
    assert told(line(7), line(6), line(8)) == [("alarm", 7), ("alarm", 6), ("alarm", 8)]


def test_services_are_counted_apart() -> None:
    other = Line(1e9, "Bob", "keysync.events", "info", "alarm", {"layer": "keysync", "replica": 0, "number": 40})
    assert [event for event, _ in told(line(1), other, line(2))] == ["alarm"] * 3


def test_a_publisher_that_keeps_nothing_is_heard_at_its_socket(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint = f"ipc://{tmp_path}/dispatcher.events"
    ear = eventbook.Ear([endpoint])
    publisher = Publisher(context, endpoint, "Alice", "dispatcher", 0, lambda: 5.0)
    try:
        heard: list[Line] = []
        for _ in range(600):  # until the connection stands; what was published before is lost, as with any PUB
            publisher.publish("worker", worker=1)
            heard += ear.hear(0.05)
            if heard:
                break
        assert heard[0].event == "worker"
        assert heard[0].fields["worker"] == "1"
        assert eventbook.topic(heard[0]) == "Alice.dispatcher.worker"
    finally:
        publisher.close()
        ear.close()
        context.destroy(linger=0)


def test_a_remote_reader_gets_what_is_kept_and_what_is_heard(kept: Kept) -> None:
    network = kept.node.parent
    cursors = tailing.here(network, ["Alice/keysync.events"])
    kept.log.keep(event(1))
    heard = [eventbook.as_line(event(2))]

    def hear(within: float) -> list[Line]:
        return [heard.pop()] if heard else []

    lines, cursors = tailing.since(network, cursors, "debug", 5.0, hear)
    assert sorted(one.fields["number"] for one in lines) == [1, 2]
    kept.log.keep(event(2))
    kept.log.keep(event(3))
    more, _ = tailing.since(network, cursors, "debug", 5.0)
    assert [one.fields["number"] for one in eventbook.once([*lines, *more])] == [1, 2, 3]


def test_event_logs_are_no_programs(kept: Kept) -> None:
    kept.log.keep(event(1))
    (kept.file.parent / "keysync.log").write_text("")
    assert logbook.programs(kept.node) == ["keysync"]


def test_only_lines_of_the_trace_are_found(kept: Kept) -> None:
    kept.log.keep(event(1, trace="00ff00ff00ff00ff"))
    kept.log.keep(event(2, trace="11ff00ff00ff00ff", reason="not 00ff00ff00ff00ff"))
    kept.log.keep(event(3, formed_by="00ff00ff00ff00ff"))
    kept.log.keep(event(4, block_id="00ff00ff00ff00ff"))
    found = logbook.last(kept.node, ["keysync.events"], 10, "debug", "00ff00ff00ff00ff")
    assert [one.fields["number"] for one in found] == [1, 3, 4]
