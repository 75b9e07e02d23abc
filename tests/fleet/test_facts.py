"""What a host is like, and which of its Pythons is taken."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from qkdbus.errors import Failed, Refused
from qkdbus_deploy import paths
from qkdbus_deploy.fleet import facts
from qkdbus_deploy.fleet.facts import probe
from qkdbus_deploy.fleet.hands import Hands
from qkdbus_deploy.fleet.host import Host

VERSION = "{}.{}".format(*sys.version_info)


def python(folder: Path, name: str, script: str) -> Path:
    """A program in the place of a Python, for what this machine need not have: old ones, broken ones."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_this_machine(pair: Hands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = probe(pair.hosts["a"])
        assert server.getsockname()[1] in found.listening
    assert (found.python, found.python_version) == (sys.executable, VERSION)
    assert (found.machine, found.hostname) == (os.uname().machine, os.uname().nodename)
    assert (found.user, found.home) == (getpass.getuser(), os.path.expanduser("~"))
    assert found.libc == (os.confstr("CS_GNU_LIBC_VERSION") if sys.platform == "linux" else "")
    assert Path(found.run_root) == paths.run_root()
    assert found.systemd == Path("/run/systemd/system").exists()
    assert 0 < found.free_disk <= os.statvfs(found.home).f_bavail * os.statvfs(found.home).f_frsize * 1.1
    assert not [address for address in found.addresses if address.startswith(("127.", "fe80"))]
    assert abs(found.clock_offset) <= found.round_trip / 2 + 0.02  # /proc counts in ticks of 10 ms


def test_the_addresses_are_those_of_this_machine(pair: Hands) -> None:
    """One that the kernel itself would send from; on a machine without a network there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("no route to anywhere")
        mine = sender.getsockname()[0]
    assert mine in probe(pair.hosts["a"]).addresses


def test_unfit_pythons_are_passed_over(inventory: Any, tmp_path: Path) -> None:
    old = python(tmp_path / "old", "python3", f"printf 3.9.2; exit {facts.NO_PYTHON}")
    broken = python(tmp_path / "env" / "bin", "python3", "exit 127")
    with Hands(inventory(a={"ansible_python_interpreter": str(old), "py_env": str(broken.parent.parent)})) as hands:
        assert probe(hands.hosts["a"]).python == sys.executable


def test_without_a_fit_python_is_said_what_there_is(pair: Hands, tmp_path: Path) -> None:
    old = python(tmp_path, "old", f"printf 3.9.2; exit {facts.NO_PYTHON}")
    poor = python(tmp_path, "poor", f"printf '3.11 without sqlite3'; exit {facts.NO_PYTHON}")
    command = facts.find([str(old), str(poor), str(old), "/nowhere/python3"])
    ran = pair.hosts["a"].run(command, [facts.PROGRAM])
    assert (ran.code, ran.out) == (facts.NO_PYTHON, f", {old} is 3.9.2, {poor} is 3.11 without sqlite3\n")
    with pytest.raises(Refused) as caught:
        facts.read(pair.hosts["a"], ran)
    assert str(caught.value).startswith(
        f"a: needs Python 3.11 or 3.12: {old} is 3.9.2, {poor} is 3.11 without sqlite3 ("
    )


def test_a_greeting_before_the_answer_is_no_matter(pair: Hands) -> None:
    host = pair.hosts["a"]
    ran = host.run("echo Welcome; " + facts.find([sys.executable]), [facts.PROGRAM])
    assert facts.read(host, ran)["python"] == sys.executable


def test_an_answer_that_is_none_is_said(pair: Hands) -> None:
    with pytest.raises(Failed, match="a: what it is like cannot be told: no such luck"):
        facts.read(pair.hosts["a"], pair.hosts["a"].run("echo no such luck >&2"))


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({"ansible_connection": "ssh"}, ["python3.12", "python3.11", "python3"]),
        ({"ansible_connection": "local"}, [sys.executable, "python3.12"]),
        ({"ansible_connection": "local", "ansible_python_interpreter": "/p"}, ["/p", sys.executable]),
        ({"ansible_connection": "ssh", "ansible_python_interpreter": "auto_silent"}, ["python3.12"]),
        ({"ansible_connection": "ssh", "py_env": "/e", "ansible_python_interpreter": "/p"}, ["/p", "/e/bin/python3"]),
    ],
)
def test_the_order_in_which_pythons_are_tried(variables: dict[str, str], first: list[str]) -> None:
    host = Host("a", variables, Refused("not needed"))
    assert facts.candidates(host)[: len(first)] == first
