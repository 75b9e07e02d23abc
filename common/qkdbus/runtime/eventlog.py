"""The events of one service as it keeps them: lines of JSON beside its log, two files of bounded size.

Each service writes its own, without a process in between: a line costs some 20 microseconds. What only wakes up the
next layer is not kept, but counted in the line that follows, so that a reader tells it from a gap.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from ..wire.head_pb2 import Event

LARGEST = 2 << 20  # octets of a file; one older file stays beside it
SUFFIX = ".events"  # of the file's name as a log: logs/<program>.events.log


class EventLog:
    """Keeps events in `file`. Whatever the disk does, publishing goes on; `lost` hears of each event not kept."""

    def __init__(self, file: Path, signals: Collection[str], lost: Callable[[], None], largest: int = LARGEST) -> None:
        self._file, self._signals, self._lost, self._largest = file, frozenset(signals), lost, largest
        self._number: int | None = None
        self._size = 0
        self._unkept = 0
        self._torn = False

    def keep(self, event: Event) -> None:
        """Write an event down. Raises nothing."""
        if event.name in self._signals:
            self._unkept += 1
            return
        line = {**event.fields, "at": round(event.at, 6), "level": "info", "node": event.node, "layer": event.layer}
        line |= {"replica": event.replica, "event": event.name, "number": event.number}
        if self._unkept:
            line["unkept"] = self._unkept
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            self._write(b"\n" + data if self._torn else data)
            self._unkept = 0
        except OSError:
            self.close()
            self._lost()

    def close(self) -> None:
        """Close the file; the next event opens it again."""
        if self._number is not None:
            with suppress(OSError):
                os.close(self._number)
            self._number = None

    def _write(self, data: bytes) -> None:
        if self._number is None:
            self._number = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._number).st_size
        if self._size and self._size + len(data) > self._largest:
            os.replace(self._file, self._file.with_name(f"{self._file.name}.1"))
            self.close()
            self._write(data)
            return
        written = os.write(self._number, data)
        self._size += written
        self._torn = written < len(data)
        if self._torn:
            raise OSError("short write")
