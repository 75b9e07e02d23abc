"""The lab keeps what it promises: hosts that are apart, trouble on demand, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.hosts.fixtures import LabMaker
from tests.hosts.lab import Lab
from tests.hosts.machine import PACKAGES, missing
from tests.hosts.net import CONTROLLER

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]


def ansible(lab: Lab, inventory: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    raw = ["all", "-i", inventory, "-m", "raw", "-a", command, "-f", "10"]
    return lab.run([sys.executable, "-m", "ansible", "adhoc", *raw], env=env)


@contextmanager
def ended(lab: Lab, host: str, command: Sequence[str]) -> Iterator[None]:
    """A command that runs on a host for a while."""
    before = {process.pid for process in lab.processes(host)}
    lab.on(host, f"{' '.join(command)} >/dev/null 2>&1 &")
    yield
    for process in lab.processes(host):
        if process.pid not in before:
            os.kill(process.pid, signal.SIGKILL)


def namespaces(pid: int) -> set[str]:
    return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "net", "pid", "uts", "ipc")}


def test_hosts_share_nothing_but_the_bridge(two: Lab) -> None:
    a, b = (two.hosts[name] for name in "AB")
    assert not namespaces(a.pid) & (namespaces(b.pid) | namespaces(os.getpid()))
    assert a.address != b.address and a.address in two.on("A", "ip -brief address").stdout
    assert two.on("B", "hostname").stdout == "B\n"
    with ended(two, "A", ["sleep", "1234"]):
        assert [process.command for process in two.processes("A")] == ["sleep 1234"]
        assert two.processes("B") == [] and "1234" not in two.on("B", "ps ax").stdout


def test_a_host_writes_on_its_own_disk(two: Lab) -> None:
    two.on("A", "echo mine > /etc/whose")
    assert two.files("A", "/etc/whose").read_text() == "mine\n"
    assert not two.files("B", "/etc/whose").exists() and not Path("/etc/whose").exists()


def test_a_host_is_bare(two: Lab) -> None:
    """A Python that a host may have, and nothing of the developer's: no repository, no environment, no package."""
    assert two.on("A", ["python3", "-c", "import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 12)"]).stdout == ""
    assert "No module named 'zmq'" in two.on("A", ["python3", "-c", "import zmq"], check=False).stderr
    assert two.on("A", ["ls", "-d", ROOT, sys.prefix], check=False).stdout == ""
    assert two.on("A", "ls -A /root /tmp /home /usr/local").stdout.split() == [
        "/home:",
        "qkd",
        "/root:",
        ".ssh",
        "/tmp:",
        "/usr/local:",
        "bin",
    ]


def test_no_way_leads_in_or_out(two: Lab) -> None:
    greeting = b""
    with suppress(OSError), socket.create_connection((two.hosts["A"].address, 22), 0.3) as door:
        door.settimeout(0.3)  # in some places a gateway takes calls for any address, but it does not speak like an sshd
        greeting = door.recv(100)
    assert b"SSH" not in greeting
    for place in (two.on("A", "ip route"), two.run(["ip", "route"])):
        assert "default" not in place.stdout and len(place.stdout.splitlines()) == 1


@pytest.mark.parametrize("kind", ["key", "password", "figure7"])
def test_ansible_gets_in(two: Lab, tmp_path: Path, kind: Any) -> None:
    done = ansible(two, two.inventory(tmp_path / "inventory.yaml", kind), "hostname; id -un")
    assert done.returncode == 0, done.stdout + done.stderr
    user = "root" if kind == "key" else "qkd"
    assert done.stdout.split("\n")[1::1].count(user) == 2
    assert {"A", "B"} <= set(done.stdout.split("\n"))
    assert (tmp_path / "inventory.yaml").stat().st_mode & 0o077 == 0


def test_a_wrong_password_does_not_get_in(two: Lab, tmp_path: Path) -> None:
    wrong = two.inventory(tmp_path / "wrong.yaml", "password", ansible_ssh_pass="guess")
    done = ansible(two, wrong, "true", ANSIBLE_SSH_ARGS="-o ControlMaster=no")  # not over a connection still open
    assert done.returncode == 4 and done.stdout.count("UNREACHABLE") == 2, done.stdout + done.stderr


def test_a_controller_that_has_not_met_the_hosts_does_not_know_their_keys(new_lab: LabMaker) -> None:
    lab = new_lab(1, known=False)
    done = lab.run(["ssh", "-o", "BatchMode=yes", "-i", lab.key, f"root@{lab.hosts['h1'].address}", "true"])
    assert done.returncode == 255 and "Host key verification failed" in done.stderr


def test_a_reboot_keeps_the_disk_and_a_reset_does_not(new_lab: LabMaker) -> None:
    lab = new_lab(names=["A", "B"])
    lab.firewall("A", drop=[7777])
    ssh = ["ssh", "-o", "BatchMode=yes", "-i", lab.key, f"root@{lab.hosts['A'].address}", "true"]
    lab.on(
        "A",
        "echo kept > /home/qkd/kept; echo lost > /run/lost; sleep 1000 &",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lab.on("A", "printf '#!/bin/sh\\nexec sleep 2000' > /etc/rc.local; chmod +x /etc/rc.local")
    assert len(lab.processes("A")) == 1
    lab.crash("A")
    assert not lab.reaches("B", "A", patience=0.3)
    lab.boot("A")
    assert lab.files("A", "/home/qkd/kept").read_text() == "kept\n" and not lab.files("A", "/run/lost").exists()
    deadline = time.monotonic() + 10
    while [process.command for process in lab.processes("A")] != ["sleep 2000"]:
        assert time.monotonic() < deadline, lab.processes("A")
    assert "7777" in lab.on("A", "nft list ruleset").stdout
    assert lab.run(ssh).returncode == 0  # whose key is known, as before or as new
    lab.reset("A")
    assert not lab.files("A", "/home/qkd/kept").exists() and lab.processes("A") == []
    assert lab.run(ssh).returncode == 0  # whose key is known, as before or as new


def test_the_dead_are_buried(two: Lab) -> None:
    """A daemon of a host that ends is no zombie: process 1 does its duty."""
    two.on("A", "setsid sh -c 'sleep 0.0123' >/dev/null 2>&1 & exit")
    deadline = time.monotonic() + 10
    while "sleep 0.0123" in (said := two.on("A", "ps ax").stdout) or "defunct" in said:
        assert time.monotonic() < deadline, said


def test_a_host_can_have_another_python_or_none(new_lab: LabMaker) -> None:
    lab = new_lab(names=["A", "B"], python={"A": None, "B": Path(sys.base_prefix)})
    assert lab.on("A", "python3 --version", check=False).returncode == 127
    find = "import sys; print(sys.base_prefix)"
    assert lab.on("B", ["python3", "-c", find], user="qkd").stdout == "/opt/python\n"
    assert "No module named" in lab.on("B", ["python3", "-c", "import pip"], check=False).stderr


def test_two_labs_are_strangers(two: Lab, new_lab: LabMaker) -> None:
    other = new_lab(names=["A"])
    assert other.hosts["A"].address != two.hosts["A"].address and other.folder != two.folder
    two.cut("A")
    assert other.reaches(CONTROLLER, "A")
    two.heal("A")
    assert not namespaces(other.hosts["A"].pid) & namespaces(two.hosts["A"].pid)


def test_a_machine_that_lacks_a_program_is_told_what_to_install(able: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "nftables-of-tomorrow", "nftables2")
    assert "nftables-of-tomorrow" in missing() and "apt-get install nftables2" in missing()
