"""One request on stdin, one answer on stdout: {"ok": ...}, or {"error": {"kind": ..., "text": ...}}."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from qkdbus.errors import QkdbusError

from . import light


def main() -> None:
    """Entry point of `python -m qkdbus_deploy.agent`."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else may speak on stdout
    os.umask(0o077)
    json.dump(answer_to(sys.stdin.buffer.read()), answers)
    answers.close()


def answer_to(said: bytes) -> dict[str, Any]:
    """Return the answer to what came on stdin, whatever it is."""
    try:
        request = json.loads(said)
    except (ValueError, RecursionError) as error:
        return _error("Refused", f"no request: {type(error).__name__}; is another version of qkdbus at work?")
    if not isinstance(request, dict):
        return _error("Refused", "a request names what it wants; is another version of qkdbus at work?")
    return _answer(request)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        if request.get("op") == "look":
            return {"ok": light.look(request)}
        from .operations import carry_out  # brings nearly everything

        return {"ok": carry_out(request)}
    except QkdbusError as error:
        return _error(type(error).__name__, str(error))
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        return _error("Failed", text)
    except Exception as error:  # not the request that an operation expects
        traceback.print_exc()  # or a fault of ours: then whoever asks sees on stderr where
        return _error("Failed", f"{type(error).__name__}: {error}; is another version of qkdbus at work?")


def _error(kind: str, text: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "text": text}}


if __name__ == "__main__":
    main()
