"""Inventories whose hosts are this very machine: hands on them need no sshd and no root."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qkdbus_deploy import paths
from qkdbus_deploy.fleet.hands import Hands

Inventory = Callable[..., Path]


def write(file: Path, hosts: dict[str, dict[str, Any]]) -> Path:
    file.write_text(yaml.safe_dump({"all": {"hosts": hosts}}, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Where the Hands of these tests have their folders, and nobody else's."""
    with tempfile.TemporaryDirectory(prefix="qk", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield paths.run_root()


@pytest.fixture
def inventory(tmp_path: Path, root: Path) -> Inventory:
    """Write an inventory: inventory(a={...variables}, b={}); hosts are local unless they say otherwise."""

    def make(**hosts: dict[str, Any]) -> Path:
        each = {name: {"ansible_connection": "local", **variables} for name, variables in hosts.items()}
        return write(tmp_path / "inventory.yaml", each)

    return make


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Hands]:
    """Hands on the hosts b and a, for all tests that leave them at work."""
    local = {"ansible_connection": "local"}
    file = write(tmp_path_factory.mktemp("pair") / "inventory.yaml", {"b": local, "a": local})
    with Hands(file) as hands:
        yield hands


@pytest.fixture
def left(root: Path) -> Callable[[], list[str]]:
    """What there is of the Hands that the test has made: command lines of processes, and folders."""
    before = {*_processes(root), *root.glob("hands-*")}

    def look() -> list[str]:
        commands = [text for pid, text in _processes(root).items() if pid not in before]
        return [*commands, *(str(folder) for folder in root.glob("hands-*") if folder not in before)]

    return look


def _processes(root: Path) -> dict[int, str]:
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
            command = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"QKDBUS_HANDS={root}/".encode() in environment or f"{root}/hands-" in command:
            found[int(entry)] = command
    return found
