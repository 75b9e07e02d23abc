"""The commands' side of the warm parent: when one is started, and when not."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy import launch, wishes


def test_a_warm_parent_that_ends_when_all_has_stopped_gets_no_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def state(network: Path) -> tuple[None, dict[str, object]]:
        looks.append("it has ended, and its nodes before it")
        return None, {}

    monkeypatch.setattr(wishes, "write_wanted", lambda network, generations: None)
    monkeypatch.setattr(wishes, "last_warm_parent", lambda network: None)
    monkeypatch.setattr(wishes, "state", state)
    monkeypatch.setattr(launch, "running", lambda network: {} if looks else {"Alice": "1"})
    launch.converge(tmp_path, {}, emulators=(), fresh=lambda: pytest.fail("another was started"))
    assert looks


def test_one_that_has_no_order_is_ended_however_far_it_has_come(monkeypatch: pytest.MonkeyPatch, until: Any) -> None:
    for seconds in (0.0, 0.1, 0.4):
        monkeypatch.setenv("QKDBUS_TEST_LAUNCH", mark := os.urandom(8).hex())
        started = launch.Launch()
        if seconds:
            until(lambda: _marked(mark), "it is on its way")  # it shows its environment a moment after its start
            time.sleep(seconds)
            assert _marked(mark)  # or there is nothing to end
        started.abandon()
        until(lambda: not _marked(mark), "it has ended", 10)
        started.abandon()  # again: nothing happens


def _marked(mark: str) -> list[Path]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"QKDBUS_TEST_LAUNCH={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(entry)
        except OSError:
            continue
    return found
