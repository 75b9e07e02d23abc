"""A worker that is stopped in the midst of a transaction does not keep the others from their keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qkdbus.signs import is_stopped
from qkdbus_qbackend.authkeys import LOOK, AuthStore
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.fence import WRITER, fence, holder

WRITING = """
import sys, time
from pathlib import Path
from qkdbus_qbackend.authkeys import AuthStore
store = AuthStore(Path(sys.argv[1]), Path(sys.argv[2]), time.time)
with store.changing() as connection:
    connection.execute("DELETE FROM entry")
    print("in it", flush=True)
    time.sleep(float(sys.argv[3]))
"""


@contextmanager
def writing(node: Any, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Another worker, which is in a transaction for so long."""
    command = [sys.executable, "-c", WRITING, str(node.path), str(node.certs), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in it\n"
        try:
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGSTOP)
    while not is_stopped(process.pid):
        time.sleep(0.01)


def test_one_that_is_stopped_is_killed_and_what_it_had_begun_never_happened(node: Any) -> None:
    fenced: list[int] = []
    keys = AuthStore(node.path, node.certs, lambda: node.now, fenced.append).link("Bob")
    before = keys.ids()
    with writing(node, 600) as other:
        stop(other)
        entry = keys.spend(before)
        assert other.wait(30) == -signal.SIGKILL
        assert fenced == [other.pid]
    assert entry is not None and entry.id == before[0]
    assert keys.ids() == before[1:]


def test_one_that_is_slow_is_waited_for(node: Any) -> None:
    keys = node.keys()
    with writing(node, 4 * LOOK) as other:
        assert keys.spend([b"unknown!"]) is None
        assert other.wait(30) == 0
    assert keys.ids() == [], "what the other one has done"


def test_one_that_is_very_slow_is_not_waited_for(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qkdbus_qbackend.authkeys.BUSY", 2 * LOOK)
    keys = node.keys()
    with writing(node, 600) as other:
        with pytest.raises(NoKey, match="locked"):
            keys.spend(keys.ids())
        assert other.poll() is None
        assert holder(node.path.with_name(f"{node.path.name}-shm"), WRITER) == other.pid


def test_nobody_else_is_killed(node: Any, tmp_path: Path) -> None:
    assert fence(tmp_path / "none.sqlite") == 0
    store = node.store()
    assert fence(node.path) == 0, "nobody writes"
    with store.changing():
        assert holder(node.path.with_name(f"{node.path.name}-shm"), WRITER) == os.getpid()
        assert fence(node.path) == 0, "we do"
