"""Logs: one JSON object a line on stdout; supervisord keeps and rotates the files.

A line is an event and its fields, never a sentence. Octets are never written, whatever they are.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from typing import TextIO

from .. import trace

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OCTETS = re.compile(r"""b(?:ytearray\()?(['"]).*?(?<!\\)\1""", re.DOTALL)


class JsonLines(logging.Formatter):
    """Writes {"at", "level", "node", "layer", "replica", "event", ...fields}, and the trace of the work under way."""

    def __init__(self, node: str, layer: str, replica: int) -> None:
        super().__init__()
        self._who = {"node": node, "layer": layer, "replica": replica}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "at": round(record.created, 6),
            "level": record.levelname.lower(),
            **self._who,
            "event": record.getMessage(),
        }
        if name := trace.name(trace.CURRENT.get()):
            line["trace"] = name
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = _plain(value)
        if record.exc_info and record.exc_info[1] is not None:
            line["fault"] = describe_fault(record.exc_info[1])
        return json.dumps(line, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} octets>"
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return _OCTETS.sub("<octets>", str(value))


def describe_fault(error: BaseException) -> dict[str, object]:
    """Say what an exception is and where it came from, without octets that its text may hold."""
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"kind": type(error).__name__, "text": _OCTETS.sub("<octets>", str(error))[:500], "where": where[-8:]}


def open_log(node: str, layer: str, replica: int, level: str, out: TextIO | None = None) -> logging.Logger:
    """Return the service's logger, writing to `out` (stdout when None)."""
    handler = logging.StreamHandler(out or sys.stdout)
    handler.setFormatter(JsonLines(node, layer, replica))
    log = logging.getLogger(f"qkdbus.{layer}")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(level.upper())
    others = logging.getLogger()
    others.handlers[:] = [handler]
    others.setLevel("WARNING")
    return log
