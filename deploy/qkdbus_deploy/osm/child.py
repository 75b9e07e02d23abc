"""The process in which osmclient is called: started when it is first needed, ended when it does not answer."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from qkdbus.errors import Failed, Silent


class Child:
    """Runs call.py; one question and its answer a line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, asked: Mapping[str, object], patience: float) -> Mapping[str, Any]:
        """Return the answer. Silent when none comes in `patience` seconds, Failed when the process dies."""
        process = self._process = self._process or _start()
        assert process.stdin
        try:
            # What is asked, a password in it, goes through the pipe: never onto the command line.
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process, patience)
        except BaseException:
            self.close()
            raise
        got = json.loads(line)
        assert isinstance(got, dict)
        return got

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.communicate()

    def _line(self, process: subprocess.Popen[bytes], patience: float) -> bytes:
        assert process.stdout
        end, line = self._clock() + patience, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - self._clock()))
            if not ready:
                raise Silent(
                    f"osmclient had no answer from OSM in {patience:g} s; is it up, does a firewall let us through?"
                )
            more = os.read(process.stdout.fileno(), 1 << 16)
            if not more:
                raise Failed("osmclient's process died; qkdbus can ask OSM by REST without it")
            line += more
        return line


def _start() -> subprocess.Popen[bytes]:
    # What can be imported here can be there; -P, for a folder that happens to hold an osmclient is not meant.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-P", "-m", "qkdbus_deploy.osm.call"]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, env=environment)
