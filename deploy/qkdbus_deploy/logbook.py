"""The logs of a node: files of JSON lines, one per program, read as one stream in time order."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

LEVELS = ("debug", "info", "warning", "error", "critical")
SUPERVISORD = "supervisord"  # the name of its own log
What = Literal["logs", "events", "both"]
EVENTS = ".events"  # ends the names of event logs
_SUPERVISORD_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) (\w+) (.*)")
_SUPERVISORD_LEVELS = {"CRIT": "critical", "ERRO": "error", "WARN": "warning", "INFO": "info"}


@dataclass(frozen=True)
class Line:
    """One line of a log.

    Attributes:
        at: Unix time, s; of the line before it in the file when it does not say.
        level: one of LEVELS, or "" when it does not say (a foreign program, a traceback).
        event: what happened, or the whole line when it is not JSON.
        fields: everything else it says.
        raw: as written.
    """

    at: float
    node: str
    program: str
    level: str
    event: str
    fields: dict[str, Any] = field(default_factory=dict)
    raw: str = ""

    def at_least(self, level: str) -> bool:
        """Whether it matters that much; a line that does not say always does."""
        return not self.level or LEVELS.index(self.level) >= LEVELS.index(level)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines of a network are wanted.

    Attributes:
        node, layer: of which alone; None: of all.
        level: they matter at least that much.
        what: logs, the events that services keep, or both.
        count: the last so many (whoever follows sees all that come).
        trace: only those that mention it; "": all.
    """

    node: str | None = None
    layer: str | None = None
    level: str = "debug"
    what: What = "logs"
    count: int = 50
    trace: str = ""


def programs(node: Path) -> list[str]:
    """Return the names of the programs that have a log, supervisord last."""
    names = sorted(file.stem for file in (node / "logs").glob("*.log") if not file.stem.endswith(EVENTS))
    return sorted(names, key=lambda name: name == SUPERVISORD)


def last(node: Path, names: Sequence[str], count: int, level: str, trace: str = "") -> list[Line]:
    """Return the last `count` lines of these programs that matter at least `level`, in time order.

    `trace`: only those that mention it.
    """
    lines = [line for name in names for line in _last(node, name, count, level, trace)]
    lines.sort(key=lambda line: line.at)  # stable: the order within a file stays
    return lines[-count:] if count else []


def follow(logs: Mapping[Path, Sequence[str]], level: str, every: float = 0.1) -> Iterator[Line]:
    """Yield lines of nodes' programs as they are written, from now on, for ever; rotated files are read to their end.

    `logs`: folder of a node -> names of its programs.
    """
    return _coming([Tail(node, name) for node, names in logs.items() for name in names], level, every)


def _coming(tails: Sequence[Tail], level: str, every: float) -> Iterator[Line]:
    while True:
        lines = [line for tail in tails for line in tail.read() if line.at_least(level)]
        yield from sorted(lines, key=lambda line: line.at)
        time.sleep(every)


def parse(raw: str, node: str, program: str, before: float) -> Line:
    """Read one line; `before` is the time of the line before it."""
    try:
        said = json.loads(raw)
        fields = {k: v for k, v in said.items() if k not in ("at", "level", "event")}
        level = said["level"] if said["level"] in LEVELS else ""
        return Line(float(said["at"]), node, program, level, str(said["event"]), fields, raw)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    found = _SUPERVISORD_LINE.match(raw) if program == SUPERVISORD else None
    if found is None:
        return Line(before, node, program, "", raw, {}, raw)
    at = time.mktime(time.strptime(found[1], "%Y-%m-%d %H:%M:%S")) + int(found[2]) / 1e3
    return Line(at, node, program, _SUPERVISORD_LEVELS.get(found[3], "debug"), found[4], {}, raw)


def mentions(line: Line, trace: str) -> bool:
    """Whether a line belongs to this trace, or tells of it: as the trace of a key's exchange, or as its block."""
    return trace in (line.fields.get("trace"), line.fields.get("formed_by"), line.fields.get("block_id"))


def _last(node: Path, name: str, count: int, level: str, trace: str) -> list[Line]:
    """Read one program's last lines, going back into rotated files as far as needed."""
    found: list[Line] = []
    number = 0
    while len(found) < count:
        file = node / "logs" / (f"{name}.log.{number}" if number else f"{name}.log")
        try:
            raw = file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            break
        if trace:
            raw = [text for text in raw if trace in text]
        lines = [line for line in _parsed(raw, node.name, name) if line.at_least(level)]
        found = [line for line in lines if not trace or mentions(line, trace)] + found
        number += 1
    return found[-count:] if count else []


def _parsed(raw: Sequence[str], node: str, name: str, before: float = 0.0) -> list[Line]:
    lines = []
    for text in raw:
        if text.strip():
            lines.append(parse(text, node, name, before))
            before = lines[-1].at
    return lines


class Tail:
    """The growing end of one log."""

    def __init__(self, node: Path, name: str) -> None:
        self._path, self._node, self._name = node / "logs" / f"{name}.log", node.name, name
        self._rest, self._before = b"", 0.0
        self._file = self._open()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> list[Line]:
        """Return the whole lines that came since the last time."""
        data = self._file.read() if self._file is not None else b""
        if self._moved():
            data += self._file.read() if self._file is not None else b""  # written just before it was renamed
            if self._file is not None:
                self._file.close()
            self._file = self._open()
            data += self._file.read() if self._file is not None else b""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines = _parsed([text.decode(errors="replace") for text in whole], self._node, self._name, self._before)
        self._before = lines[-1].at if lines else self._before
        return lines

    def _open(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _moved(self) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != now.st_ino
