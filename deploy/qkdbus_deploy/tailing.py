"""Logs read on from where an earlier look ended: for a reader on another machine, who asks again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .logbook import Line, parse

Cursor = tuple[int, int]  # inode of a log, and how much of it was read
EVERY = 0.1  # s between two looks
LONGEST = 1 << 20  # octets of one log in one look


def here(network: Path, logs: Sequence[str]) -> dict[str, Cursor]:
    """Return the ends of these logs ("<node>/<program>") as they are now."""
    return {name: _end(_file(network, name)) for name in logs}


def _hear_nothing(within: float) -> list[Line]:
    time.sleep(within)
    return []


def since(
    network: Path,
    cursors: Mapping[str, Cursor],
    level: str,
    patience: float,
    hear: Callable[[float], list[Line]] = _hear_nothing,
) -> tuple[list[Line], dict[str, Cursor]]:
    """Return the whole lines that came since, and where to go on; waits at most `patience` s for the first.

    `hear(within)` waits, and returns what is to be told beside.
    """
    ends = time.monotonic() + patience
    heard = hear(0.0)
    while True:
        lines: list[Line] = list(heard)
        following: dict[str, Cursor] = {}
        for name, cursor in cursors.items():
            found, following[name] = _read(_file(network, name), name, tuple(cursor))
            lines += [line for line in found if line.at_least(level)]
        if lines or time.monotonic() >= ends:
            return sorted(lines, key=lambda line: line.at), following
        cursors = following
        heard = hear(EVERY)


def _read(file: Path, name: str, cursor: tuple[int, ...]) -> tuple[list[Line], Cursor]:
    """Read one log on; a log that was rotated is read to its end first, then the new one from its beginning."""
    inode, place = cursor
    lines: list[Line] = []
    for older in (file.with_name(f"{file.name}.1"), file):
        try:
            with older.open("rb") as log:
                found = _inode(log.fileno())
                if older != file and found != inode:
                    continue  # not the one that we were reading
                start = place if found == inode else 0
                log.seek(start)
                data = log.read(LONGEST)
        except FileNotFoundError:
            continue
        whole = data[: data.rfind(b"\n") + 1]
        lines += _parsed(whole, name)
        if older == file:
            return lines, (found, start + len(whole))
    return lines, (inode, place)


def _parsed(data: bytes, name: str) -> list[Line]:
    node, _, program = name.partition("/")
    lines: list[Line] = []
    for raw in data.decode(errors="replace").splitlines():
        if raw.strip():
            lines.append(parse(raw, node, program, lines[-1].at if lines else 0.0))
    return lines


def _end(file: Path) -> Cursor:
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size


def _inode(number: int) -> int:
    return os.fstat(number).st_ino


def _file(network: Path, name: str) -> Path:
    node, _, program = name.partition("/")
    return network / node / "logs" / f"{program}.log"
