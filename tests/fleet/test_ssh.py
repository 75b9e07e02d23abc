"""Hands on hosts behind sshd: every way in, every way not in, and a host that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hosts.disk import PASSWORD, USER
from tests.hosts.fixtures import able  # noqa: F401 (a fixture)
from tests.hosts.lab import SYSTEM, Lab

from qkdbus.errors import Refused, Unavailable
from qkdbus_deploy.fleet.facts import probe
from qkdbus_deploy.fleet.hands import Hands
from qkdbus_deploy.fleet.host import Host
from qkdbus_deploy.fleet.options import Options

pytestmark = pytest.mark.root
Left = Callable[[], list[str]]


@pytest.fixture(scope="module")
def hosts(able: None, root: Path) -> Iterator[Lab]:  # noqa: F811
    """A and B, and C that has no Python."""
    with Lab(names=["A", "B", "C"], python={"A": SYSTEM, "B": SYSTEM, "C": None}) as lab:
        yield lab


@contextmanager
def hands(lab: Lab, inventory: Path, **options: Any) -> Iterator[Hands]:
    """Hands from the lab's controller, which has met no host yet."""
    with lab.inside():
        at_work = Hands(inventory, None, Options(known_hosts=inventory.parent / "known", **options)).__enter__()
    try:
        yield at_work
    finally:
        at_work.close()


def write(file: Path, entries: dict[str, dict[str, Any]]) -> Path:
    file.write_text(yaml.safe_dump({"all": {"hosts": entries}}))
    return file


def name(host: Host) -> str:
    return host.run("echo $(id -un) on $(hostname)").out


def test_figure_7_of_the_paper(hosts: Lab, tmp_path: Path, left: Left) -> None:
    """Its inventory works as it is, and its password is seen nowhere."""
    inventory = hosts.inventory(tmp_path / "inventory.yaml", kind="figure7", nodes={"A": "alice", "B": "bob"})
    seen: list[str] = []
    memory = set(os.listdir("/dev/shm"))
    with hands(hosts, inventory) as at_work, watching(seen):
        assert at_work.each(at_work.hosts.values(), name) == {
            "alice": f"{USER} on A\n",
            "bob": f"{USER} on B\n",
        }
        variables = at_work.hosts["alice"].variables
    assert variables["ansible_host"] == hosts.hosts["A"].address and variables["ansible_user"] == USER
    assert variables["ansible_connection"] == "ssh" and variables["py_env"].endswith("python3.10")
    assert PASSWORD not in repr(variables)
    assert any("ssh -o" in text for text in seen) and not any(PASSWORD in text for text in seen)
    ours = set(os.listdir("/dev/shm")) - memory
    ends = time.monotonic() + 60
    while ours & set(os.listdir("/dev/shm")):  # those of other tests' logins, which run beside, go soon
        assert time.monotonic() < ends, f"left in memory: {ours}"
        time.sleep(0.1)
    assert left() == []


@contextmanager
def watching(seen: list[str]) -> Iterator[None]:
    """Note the command lines and environments of all processes, again and again."""
    enough = threading.Event()

    def watch() -> None:
        while not enough.wait(0.01):
            for entry in filter(str.isdigit, os.listdir("/proc")):
                with suppress(OSError):
                    seen.extend(
                        Path("/proc", entry, file).read_bytes().replace(b"\0", b" ").decode(errors="replace")
                        for file in ("cmdline", "environ")
                    )

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    enough.set()
    thread.join()


def test_each_host_says_why_it_cannot_be_reached(hosts: Lab, tmp_path: Path) -> None:
    a, b = (hosts.hosts[host].address for host in "AB")
    key = {"ansible_user": "root", "ansible_ssh_private_key_file": str(hosts.key)}
    entries: dict[str, dict[str, Any]] = {
        "good": {"ansible_host": a, **key},
        "password": {"ansible_host": b, "ansible_user": USER, "ansible_ssh_pass": "wrong"},
        "nokey": {"ansible_host": b, "ansible_user": USER},
        "port": {"ansible_host": b, "ansible_port": 23, **key},
        "away": {"ansible_host": a.rsplit(".", 1)[0] + ".250", **key},
        "name": {"ansible_host": "nowhere.invalid", **key},
        "nobody": {"ansible_host": a, **key, "ansible_become": True, "ansible_become_user": "nobody"},
    }
    with hands(hosts, write(tmp_path / "inventory.yaml", entries), connect_timeout=4) as at_work:
        results = at_work.each(at_work.hosts.values(), lambda host: host.run("id -un").out)
    assert results.pop("good") == "root\n"
    why = {
        "password": f"{USER} is not let in",
        "nokey": f"{USER} is not let in",
        "port": f"nothing listens at {b}:23",
        "away": "there is no way to",
        "name": "no address is known for the name nowhere.invalid",
        "nobody": "becoming another user does not work: /bin/sh: 1: sudo: not found (",
    }
    for host, error in results.items():
        assert str(error).startswith(f"{host}: {why[host]}"), error
        assert isinstance(error, Refused if host == "nobody" else Unavailable)


def test_a_host_with_another_key_is_not_trusted(hosts: Lab, tmp_path: Path) -> None:
    """The first time any key is taken; later only that one."""
    address = hosts.hosts["A"].address
    inventory = hosts.inventory(tmp_path / "inventory.yaml", nodes={"A": "A"})
    public = hosts.key.with_suffix(".pub").read_text()
    (tmp_path / "known").write_text(f"{address} {public}")
    with hands(hosts, inventory) as at_work, pytest.raises(Unavailable, match="ssh-keygen -R"):
        at_work.hosts["A"].run("true")
    (tmp_path / "known").unlink()
    with hands(hosts, inventory) as at_work:
        assert name(at_work.hosts["A"]) == "root on A\n"
    assert len((tmp_path / "known").read_text().splitlines()) == 1


def test_through_a_jump_host_as_another_user_with_a_locked_password(hosts: Lab, tmp_path: Path) -> None:
    """All at once: B is reached by way of A, logged in to by an encrypted password, and C by key, then su."""
    (tmp_path / "vault").write_text("open sesame")
    vault = [
        sys.executable,
        "-m",
        "ansible",
        "vault",
        "encrypt_string",
        "--vault-password-file",
        str(tmp_path / "vault"),
    ]
    locked = subprocess.run([*vault, PASSWORD], capture_output=True, text=True, check=True).stdout
    trust = f"-o UserKnownHostsFile={tmp_path / 'known'} -o StrictHostKeyChecking=accept-new"
    jump = f"ssh -i {hosts.key} {trust} -W %h:%p root@{hosts.hosts['A'].address}"
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(
        f"""
all:
  hosts:
    B:
      ansible_host: {hosts.hosts["B"].address}
      ansible_user: {USER}
      ansible_ssh_pass: {locked.strip().replace(chr(10), chr(10) + " " * 8)}
      ansible_ssh_common_args: -o ProxyCommand="{jump}"
    C:
      ansible_host: {hosts.hosts["C"].address}
      ansible_user: root
      ansible_ssh_private_key_file: {hosts.key}
      ansible_become: true
      ansible_become_method: su
      ansible_become_user: {USER}
"""
    )
    (tmp_path / "data").write_bytes(b"x" * 3_000_000)
    with hands(hosts, inventory, vault_password_file=tmp_path / "vault") as at_work:
        for host in at_work.hosts.values():
            assert name(host) == f"{USER} on {host.name}\n"
            assert host.run("wc -c", [tmp_path / "data"]).out.strip() == "3000000"
        peer = at_work.hosts["B"].run("echo $SSH_CONNECTION").out.split()[0]
        assert peer == hosts.hosts["A"].address


def test_what_a_host_is_like(hosts: Lab, tmp_path: Path) -> None:
    inventory = hosts.inventory(tmp_path / "inventory.yaml", kind="figure7", nodes={"A": "A", "C": "C"})
    with hands(hosts, inventory) as at_work:
        found = at_work.each(at_work.hosts.values(), probe)
    a = found["A"]
    assert not isinstance(a, Exception)
    assert (a.hostname, a.user, a.home, a.addresses) == ("A", USER, f"/home/{USER}", (hosts.hosts["A"].address,))
    assert a.listening == (22,) and a.python.startswith("/usr/bin/python3") and a.free_disk > 1 << 20
    assert abs(a.clock_offset) <= a.round_trip
    assert isinstance(found["C"], Refused) and "C: needs Python 3.11 or 3.12: there is none (" in str(found["C"])


@pytest.mark.slow
def test_a_host_that_goes_away_is_lost_alone_and_comes_back(hosts: Lab, tmp_path: Path, left: Left) -> None:
    inventory = hosts.inventory(tmp_path / "inventory.yaml", nodes={"A": "A", "B": "B"})
    with hands(hosts, inventory, connect_timeout=3) as at_work:
        a, b = at_work.hosts["A"], at_work.hosts["B"]
        assert name(b) == "root on B\n"
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(at_work.each([b], lambda host: host.run("sleep 600"))))
        thread.start()
        while not [process for process in hosts.processes("B") if process.command == "sleep 600"]:
            time.sleep(0.05)
        hosts.crash("B")
        assert name(a) == "root on A\n"
        thread.join(40)
        assert isinstance(error := results[0]["B"], Unavailable) and "B: the connection broke" in str(error)
        with pytest.raises(Unavailable, match="is it on"):
            b.run("true")
        hosts.boot("B")
        assert name(b) == "root on B\n"
    assert left() == []
