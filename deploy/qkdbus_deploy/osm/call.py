"""Calls of osmclient in a process of their own: `python -P -m qkdbus_deploy.osm.call`, a line of JSON in, one out.

A process of their own, because osmclient prints ids on stdout and progress on stderr, changes Python's logging when
it is imported, and (release 8) may wait for ever for an answer. A new client for each call, because a client keeps
state: after some calls the next goes to the wrong place.

In:  {"client": {host, user, password, project}, "part": "ns", "method": "get", "arguments": [...], "options": {...}}
     or {"probe": true}.
Out: {"value": ..., "printed": "..."} or {"error": {"kind": "osm"|"missing"|"other", "text": "..."}, "printed": "..."}.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
from typing import Any


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked, with stdout caught."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        got = _call(asked)
    return {**got, "printed": printed.getvalue()}


def _call(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        # Imported by name: it is on no package index, and so nothing that may be counted on to be there.
        client = importlib.import_module("osmclient.client")
        exceptions = importlib.import_module("osmclient.common.exceptions")
    except Exception as error:  # whatever a broken installation raises
        return _error("missing", error)
    if asked.get("probe"):
        return {"value": True}
    try:
        part = getattr(client.Client(sol005=True, **asked["client"]), asked["part"])
        return {"value": getattr(part, asked["method"])(*asked["arguments"], **asked["options"])}
    except exceptions.ClientException as error:
        return _error("osm", error)
    except Exception as error:  # pycurl.error, requests' errors: osmclient lets them through
        return _error("other", error)


def _error(kind: str, error: Exception) -> dict[str, Any]:
    text = str(error) if kind == "osm" else f"{type(error).__module__}.{type(error).__name__}: {error}"
    return {"error": {"kind": kind, "text": text}}


def main() -> None:
    """Answer until there are no more questions."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever else writes there must not get among the answers
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line)), default=str) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
