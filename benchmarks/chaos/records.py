"""The file in which an application records what it got: a line of JSON for each key, written at once (mode 0600)."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import fingerprints
from .check import Delivery


class Recorder:
    """Writes one file."""

    def __init__(self, file: Path, secret: bytes) -> None:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._out, self._secret = os.fdopen(number, "w", buffering=1), secret

    def key(self, at: float, call: int, index: int, key: bytes, age: float | None) -> None:
        """Note a key, not what it is."""
        digests = fingerprints.whole(key, self._secret), fingerprints.parts(key, self._secret)
        parts = [part.hex() for part in digests[1]]
        self._write(what="key", at=at, call=call, index=index, key=digests[0].hex(), parts=parts, age=age)

    def silent(self, at: float, call: int, count: int, why: str) -> None:
        """Note a call that got no answer, and how many keys it had asked for."""
        self._write(what="silent", at=at, call=call, count=count, why=why)

    def trouble(self, at: float, why: str) -> None:
        """Note why there will be no more keys."""
        self._write(what="trouble", at=at, why=why)

    def statuses(self, counts: Counter[str]) -> None:
        """Note which answers there were, how often."""
        self._write(what="statuses", counts=dict(counts))

    def _write(self, **fields: Any) -> None:
        self._out.write(json.dumps(fields, separators=(",", ":")) + "\n")


@dataclass
class Record:
    """What one application recorded."""

    deliveries: list[Delivery] = field(default_factory=list)
    unanswered: int = 0
    silences: list[str] = field(default_factory=list)
    trouble: str = ""
    statuses: Counter[str] = field(default_factory=Counter)


class Tail:
    """Reads a file while it is being written."""

    def __init__(self, file: Path) -> None:
        self._file, self._rest, self._at = file, b"", 0
        self.record = Record()

    def read(self) -> Record:
        """Return all that has been recorded so far."""
        try:
            with self._file.open("rb") as source:
                source.seek(self._at)
                new = source.read()
        except FileNotFoundError:
            return self.record
        self._at += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return self.record

    def _take(self, said: dict[str, Any]) -> None:
        record = self.record
        match said["what"]:
            case "key":
                parts = tuple(bytes.fromhex(part) for part in said["parts"])
                key = bytes.fromhex(said["key"])
                record.deliveries.append(Delivery(said["index"], key, parts, said["at"], said["call"], said["age"]))
            case "silent":
                record.unanswered += said["count"]
                record.silences.append(said["why"])
            case "trouble":
                record.trouble = record.trouble or said["why"]
            case "statuses":
                record.statuses.update(said["counts"])
