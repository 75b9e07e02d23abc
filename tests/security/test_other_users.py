"""Another user of the same host: he sees no file, no socket, no key of a network, and asks no service."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from .conftest import Net

NOBODY = 65534
# Tries what is asked as another user; says what succeeded.
TRY = """
import os, socket, sys
os.setgroups([]); os.setgid({id}); os.setuid({id})
for path in sys.argv[1:]:
    try:
        if os.path.exists(path):
            print("seen", path)
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
        print("read", path)
    except OSError:
        pass
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("connected", path)
    except OSError:
        pass
"""


def _all_of(net: Net) -> list[Path]:
    """Everything that a network has on the disk, sockets included."""
    found = [net.folder, *net.folder.rglob("*")]
    for node in ("Alice", "Bob", "Charlie"):
        run = net.settings(node).run
        found += [run, *run.rglob("*")]
    return sorted(set(found))


def test_no_file_folder_or_socket_is_open_to_anybody_else(net: Net) -> None:
    found = _all_of(net)
    wrong = [(str(path), oct(path.lstat().st_mode)) for path in found if _open_to_others(path)]
    assert wrong == []
    kinds = {_kind(path) for path in found}
    assert kinds == {"folder", "file", "socket"}, "there is something to look at"
    sockets = {path.name for path in found if _kind(path) == "socket"}
    assert {"supervisor.sock", "keymanager", "keysync", "dispatcher", "qbackend.0"} <= sockets


def test_every_unix_socket_that_a_service_listens_on_is_in_a_private_folder(net: Net) -> None:
    folders = {str(net.settings(node).run) for node in ("Alice", "Bob", "Charlie")}
    listening = set()
    for pid in net.pids().values():
        for one in psutil.Process(pid).net_connections(kind="unix"):
            if one.laddr and not str(one.laddr).startswith("\0"):
                listening.add(str(one.laddr))
    assert listening
    assert {os.path.dirname(path) for path in listening} <= folders
    assert all(stat.S_IMODE(os.stat(folder).st_mode) == 0o700 for folder in folders)


@pytest.mark.root
def test_another_user_reads_nothing_and_reaches_no_socket(net: Net) -> None:
    if os.geteuid() != 0:
        pytest.skip("has to become another user")
    paths = [str(path) for path in _all_of(net)]
    said = subprocess.run(
        [sys.executable, "-S", "-c", TRY.format(id=NOBODY), *paths], capture_output=True, text=True, check=False
    )
    assert said.stderr == ""
    # the top folder lies in the world's temporary folder: that it is there may be seen, and no more
    assert [line for line in said.stdout.splitlines() if line != f"seen {net.folder}"] == []
    with socket.socket(socket.AF_UNIX) as owner:  # for its owner the same socket is there
        owner.connect(str(net.settings("Alice").run / "supervisor.sock"))


def test_no_secret_is_in_a_command_line_or_an_environment(net: Net) -> None:
    secrets = {net.pair(node).secret for node in ("Alice", "Bob", "Charlie")}
    for pid in net.pids().values():
        process = psutil.Process(pid)
        said = " ".join((*process.cmdline(), *process.environ().values()))
        assert not any(secret in said for secret in secrets)


def _open_to_others(path: Path) -> bool:
    return bool(path.lstat().st_mode & 0o077)


def _kind(path: Path) -> str:
    mode = path.lstat().st_mode
    return "folder" if stat.S_ISDIR(mode) else "socket" if stat.S_ISSOCK(mode) else "file"
